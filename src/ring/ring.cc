#include "ring/ring.h"

#include "core/crc32c.h"
#include "core/error.h"
#include "ring/block_run.h"
#include "ring/result_desk.h"

namespace riverrun::ring {

namespace {

using transport::Clock;

// One rank on its way through its blocks.
class Runner {
 public:
  Runner(const Job& job, transport::Transport& transport, Stream stream)
      : job_(job), plan_(job.plan), transport_(transport), stream_(stream),
        layout_(job.model.state_shape(), Readout::carried_sums(job.request, job.model.config().channels)),
        results_(job, transport, waits_),
        desk_(plan_, layout_, transport, stream, job.timeout, job.carries_in_flight, waits_, [this] { idle(); }, job.checkpoints.restart),
        blocks_(job, layout_, transport, desk_, results_, statistics_, stream) {}

  Statistics run() {
    bool stopped = !unless_stopped([this] { run_blocks(); });
    const auto last_block_end = Clock::now();
    const double waited = waits_.seconds(), forked = statistics_.fork_seconds;
    if (!stopped) stopped = !unless_stopped([this] { desk_.drain(); });
    stopped = results_.meet(stopped, "every rank to have read its part");
    if (!stopped && job_.fork) {
      stopped = !unless_stopped([this] { run_fork([this] { job_.fork->finish(transport_, job_.timeout, outlet_); }); });
      stopped = results_.meet(stopped, "every rank to have written its texts");
    }
    if (stopped) stop();
    else check_results();
    statistics_.stopped = stopped;
    statistics_.total_seconds = seconds_since(begin_);
    statistics_.tail_seconds = seconds_since(last_block_end) - (statistics_.fork_seconds - forked);
    statistics_.wait_seconds = waited;
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
    for (std::size_t i = 0; i < mine.size(); ++i) {
      desk_.expect(mine[i]);
      // The next carry may be on its way before this block is done: have its receives posted.
      if (i + 1 < mine.size()) desk_.expect(mine[i + 1]);
      blocks_.run(mine[i]);
      if (job_.checkpoints.interval > Clock::duration::zero() && Clock::now() - copied_ >= job_.checkpoints.interval) copy_carries();
      if (job_.fork) run_fork([&] { job_.fork->between_blocks(outlet_); });
    }
  }

  void copy_carries() {
    copied_ = Clock::now();
    desk_.for_each_whole([this](const plan::Slice& behind, const Carry& carry) {
      CarryCopy copy{behind.document, behind.first_token + behind.tokens, 0, carry.store()};
      copy.crc = crc32c(copy.bytes);
      results_.post(copy);
    });
  }

  // All ranks are here, and each has carries of which it cannot know whether they are the furthest.
  void stop() {
    stream_.synchronize();  // what a step left undone may still write to carries
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

  template <class Body>
  void run_fork(Body body) {
    const auto begin = Clock::now();
    const double waited = waits_.seconds();
    body();
    statistics_.fork_seconds += seconds_since(begin) - (waits_.seconds() - waited);
    if (job_.trace) job_.trace->add("fork", "compute", begin, Clock::now(), blocks_.number(), -1);
  }

  // While waiting for carries.
  void idle() {
    results_.take();
    blocks_.stop_here();
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
  const Clock::time_point begin_ = Clock::now();
  Clock::time_point copied_ = begin_;  // carries, last

  const Fork::Outlet outlet_{[this](SliceResult result) { results_.post(result); },
                             [this] {
                               transport_.note_step();
                               transport_.progress();
                               results_.take();
                               blocks_.stop_here();
                             }};
};

}  // namespace

Statistics run(const Job& job, transport::Transport& transport, Stream stream) {
  RR_CHECK(job.plan.options.ranks == transport.size(), "a plan for ", job.plan.options.ranks, " ranks on ", transport.size());
  return Runner(job, transport, stream).run();
}

}  // namespace riverrun::ring
