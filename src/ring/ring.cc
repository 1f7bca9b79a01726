#include "ring/ring.h"

#include <algorithm>
#include <map>
#include <utility>

#include "core/crc32c.h"
#include "core/error.h"
#include "ring/block_run.h"
#include "ring/result_desk.h"
#include "ring/verify.h"

namespace riverrun::ring {

namespace {

using transport::Clock;

constexpr int kLongWait = 8;  // steps of a fork

// One rank on its way through its blocks.
class Runner {
 public:
  Runner(const Job& job, transport::Transport& transport, Stream stream)
      : job_(job), plan_(job.plan), transport_(transport), stream_(stream),
        layout_(job.model.state_shape(), Readout::carried_sums(job.request, job.model.config().channels), stream.device->kind()),
        results_(job, transport, waits_),
        desk_(plan_, layout_, transport, stream, job.timeout, job.carries_in_flight, waits_, [this] { idle(); }, job.checkpoints.restart),
        blocks_(job, layout_, transport, desk_, results_, statistics_, stream) {}

  // An error may have left kernels at work in memory that goes back now.
  ~Runner() {
    try {
      stream_.synchronize();
    } catch (const Error&) {  // follows from the one that is on its way already
    }
  }

  Statistics run() {
    bool stopped = !unless_stopped([this] { run_blocks(); });
    const auto last_block_end = Clock::now();
    const double waited = waits_.seconds(), forked = statistics_.fork_seconds;
    if (!stopped) stopped = !unless_stopped([this] { desk_.drain(); });
    stopped = results_.meet(stopped, "every rank to have read its part", [this] { fork_while_others_read(); });
    // All ranks begin each of these or none does: they meet in what comes next.
    if (!stopped && job_.verify > 0) {
      stopped = !unless_stopped([this] { verify(); });
      stopped = results_.meet(stopped, "every rank to have verified its blocks");
    }
    if (!stopped && job_.fork) {
      stopped = !unless_stopped([this] { run_fork([this] { return job_.fork->finish(transport_, job_.timeout, outlet_), true; }); });
      stopped = results_.meet(stopped, "every rank to have written its texts");
    }
    if (stopped) stop();
    else check_results();
    statistics_.stopped = stopped;
    statistics_.total_seconds = seconds_since(begin_);
    statistics_.tail_seconds = seconds_since(last_block_end) - (statistics_.fork_seconds - forked);
    statistics_.wait_seconds = waited, statistics_.send_seconds = desk_.send_seconds();
    statistics_.compute_seconds = statistics_.total_seconds - statistics_.tail_seconds - statistics_.wait_seconds -
                                  statistics_.send_seconds - statistics_.fork_seconds;
    statistics_.bytes_sent = desk_.bytes_sent();
    return statistics_;
  }

 private:
  // False when a stop broke it off.
  template <class Body>
  static bool unless_stopped(Body body) {
    try {
      body();
    } catch (const Stop&) {
      return false;
    }
    return true;
  }

  void run_blocks() {
    const auto& mine = plan_.of_rank[transport_.rank()];
    const auto proven = blocks_to_verify(plan_, transport_.rank(), job_.verify);
    for (std::size_t i = 0; i < mine.size(); ++i) {
      desk_.expect(mine[i]);
      // The next carry may be on its way before this block is done: have its receives posted.
      if (i + 1 < mine.size()) desk_.expect(mine[i + 1]);
      blocks_.run(mine[i], std::ranges::find(proven, mine[i]) != proven.end() ? &proofs_.emplace_back() : nullptr);
      if (job_.checkpoints.interval > Clock::duration::zero() && Clock::now() - copied_ >= job_.checkpoints.interval) copy_carries();
      if (job_.fork) run_fork([&] { return job_.fork->between_blocks(outlet_), true; });
    }
  }

  void verify() {
    statistics_.verified = verify_blocks(plan_, layout_, transport_, job_.timeout, job_.verify, std::move(proofs_), proof_messages_,
                                         [this](const BlockProof& proof) { return blocks_.run_again(proof); });
  }

  void copy_carries() {
    copied_ = Clock::now();
    desk_.for_each_whole([this](const plan::Slice& behind, const Carry& carry) {
      const Index next_token = behind.first_token + behind.tokens;
      if (std::exchange(copied_up_to_[behind.document], next_token) == next_token) return;
      CarryCopy copy{behind.document, next_token, 0, carry.store()};
      copy.crc = crc32c(copy.bytes);
      results_.post(copy);
    });
  }

  // All ranks are here, and each has carries of which it cannot know whether they are the furthest.
  void stop() {
    stream_.synchronize();  // what a step left undone may still write to carries
    copied_up_to_.clear();  // rank 0 may have had no room for one
    if (job_.checkpoints.interval > Clock::duration::zero()) copy_carries();
    results_.meet(true, "every rank to hand over its carries");
    transport_.abandon(job_.timeout);
  }

  // Rank 0.
  void check_results() const {
    if (transport_.rank() != 0) return;
    Index due = 0;
    for (const plan::Block& block : plan_.blocks) {
      for (const plan::Slice& slice : block.slices) due += job_.fork && job_.fork->wants(slice) ? 2 : 1;
    }
    RR_CHECK(results_.results_taken() == due, results_.results_taken(), " results of ", due);
  }

  // `body` says whether it did anything.
  template <class Body>
  bool run_fork(Body body) {
    const auto begin = Clock::now();
    const double waited = waits_.seconds();
    if (!body()) return false;
    statistics_.fork_seconds += seconds_since(begin) - (waits_.seconds() - waited);
    if (job_.trace) job_.trace->add("fork", "compute", begin, Clock::now(), blocks_.number(), -1);
    return true;
  }

  // While waiting for carries.
  void idle() {
    results_.take();
    blocks_.stop_here();
    // A step holds up what comes meanwhile, and makes other ranks wait for as long. These must not take that for a wait worth
    // filling, or all would write text by text and keep each other waiting: so only one much longer than a step is filled.
    if (job_.fork && waits_.under_way() >= kLongWait * fork_step_) fork_step(outlet_);
  }

  // Nobody waits for this rank any more, nor may it leave the others without a word of its own.
  void fork_while_others_read() {
    if (job_.fork && !transport_.stopping()) fork_step(last_outlet_);
  }

  void fork_step(const Fork::Outlet& outlet) {
    const auto begun = waits_.pause();
    const auto begin = Clock::now();
    if (run_fork([&] { return job_.fork->while_waiting(outlet); })) fork_step_ = Clock::now() - begin;
    waits_.resume(begun);
  }

  static double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

  const Job& job_;
  const plan::Plan& plan_;
  transport::Transport& transport_;
  Stream stream_;
  WaitClock waits_;
  CarryLayout layout_;
  Statistics statistics_;
  ResultDesk results_;
  CarryDesk desk_;
  BlockRun blocks_;
  std::vector<BlockProof> proofs_;
  ProofMessages proof_messages_;  // until they are through or abandoned
  const Clock::time_point begin_ = Clock::now();
  Clock::time_point copied_ = begin_;      // carries, last
  std::map<Index, Index> copied_up_to_;    // by document

  Clock::duration fork_step_ = std::chrono::milliseconds(10);  // how long the last one took

  void alive() {
    transport_.note_step();
    transport_.progress();
    results_.take();
  }
  const std::function<void(SliceResult)> post_ = [this](SliceResult result) {
    if (result.written) ++statistics_.texts, statistics_.text_tokens += std::ssize(result.written->tokens);
    results_.post(result);
  };
  const Fork::Outlet outlet_{post_, [this] {
                               alive();
                               blocks_.stop_here();
                             }};
  const Fork::Outlet last_outlet_{post_, [this] { alive(); }};  // without a stop
};

}  // namespace

Statistics run(const Job& job, transport::Transport& transport, Stream stream) {
  RR_CHECK(job.plan.options.ranks == transport.size(), "a plan for ", job.plan.options.ranks, " ranks on ", transport.size());
  return Runner(job, transport, stream).run();
}

}  // namespace riverrun::ring
