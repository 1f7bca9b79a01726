#include "ring/ring.h"

#include <algorithm>

#include "core/error.h"

namespace riverrun::ring {

namespace {

using transport::Clock;
constexpr int kResultsAtATime = 256;
constexpr Index kResultBytesInFlight = Index{256} << 20;  // then a rank waits until rank 0 has taken some

// One rank on its way through its blocks.
class Runner {
 public:
  Runner(const Job& job, transport::Transport& transport, Stream stream)
      : job_(job), plan_(job.plan), model_(job.model), transport_(transport), stream_(stream),
        layout_(model_.state_shape(), Readout::carried_sums(job.request, model_.config().channels)),
        desk_(plan_, layout_, transport, stream, job.timeout, waits_, [this] { take_results(); }),
        workspace_(model_.make_workspace(plan_.options.block_tokens, stream)),
        readout_(model_, job.kernels, job.request, plan_.options.block_tokens, stream) {
    if (transport.rank() == 0) {
      for (const plan::Block& block : plan_.blocks) {
        for (const plan::Slice& slice : block.slices) results_due_ += forks(slice) ? 2 : 1;
      }
    }
  }

  Statistics run() {
    begin_ = Clock::now();
    const auto& mine = plan_.of_rank[transport_.rank()];
    for (std::size_t i = 0; i < mine.size(); ++i) {
      desk_.expect(mine[i]);
      // The next carry may be on its way before this block is done: have its receives posted.
      if (i + 1 < mine.size()) desk_.expect(mine[i + 1]);
      run_block(mine[i]);
      if (job_.fork) run_fork([&] { job_.fork->between_blocks(outlet_); });
    }
    const auto last_block_end = Clock::now();
    const double waited = waits_.seconds(), forked = statistics_.fork_seconds;
    desk_.drain();
    if (job_.fork) run_fork([&] { job_.fork->finish(transport_, job_.timeout, outlet_); });
    wait([&] { return transport_.results_in_flight() == 0; }, "rank 0 to take the last results");
    if (transport_.rank() == 0) finish_results();
    statistics_.total_seconds = seconds_since(begin_);
    statistics_.tail_seconds = seconds_since(last_block_end) - (statistics_.fork_seconds - forked);
    statistics_.wait_seconds = waited;
    statistics_.compute_seconds = statistics_.total_seconds - statistics_.tail_seconds - statistics_.wait_seconds -
                                  statistics_.send_seconds - statistics_.fork_seconds;
    statistics_.bytes_sent = desk_.bytes_sent();
    return statistics_;
  }

 private:
  void run_block(Index number) {
    const plan::Block& block = plan_.blocks[number];
    number_ = number;
    in_ = desk_.open_incoming(number);
    out_ = desk_.open_outgoing(number);
    begin_block(block);
    for (Index layer = 0; layer < layout_layers(); ++layer) run_layer(block, layer);
    finish_block(block);
    if (in_) desk_.close_incoming(number);
    if (out_) desk_.close_outgoing(number);
    statistics_.tokens += block.tokens;
    ++statistics_.blocks;
  }

  void begin_block(const plan::Block& block) {
    ids_.clear(), next_ids_.clear(), segments_.clear(), states_.clear();
    for (const plan::Slice& slice : block.slices) {
      const Index begin = static_cast<Index>(ids_.size());
      // One more than the slice, where there is one: the token that its last row predicts.
      const auto ids = job_.tokens(slice.document, slice.first_token, slice.tokens + (slice.last ? 0 : 1));
      ids_.insert(ids_.end(), ids.begin(), ids.begin() + slice.tokens);
      next_ids_.insert(next_ids_.end(), ids.begin() + 1, ids.end());
      if (slice.last) next_ids_.push_back(-1);
      segments_.push_back({begin, begin + slice.tokens});
      const bool keep = slice.last && (job_.request.states || forks(slice));
      states_.push_back(keep ? std::make_unique<model::State>(model_.make_state()) : nullptr);
    }
    const auto first = block.slices.front();
    if (in_) previous_id_ = job_.tokens(first.document, first.first_token - 1, 1)[0];
    pointers_in_.assign(segments_.size(), nullptr);
    pointers_out_.assign(segments_.size(), nullptr);
    step("embed", -1, [&] {
      model_.start(*workspace_, ids_, segments_);
      if (in_) model_.first_layer_row(*workspace_, previous_id_, first_row());
    });
  }

  void run_layer(const plan::Block&, Index layer) {
    const Index time_row = layout_.time_row(layer), channel_row = layout_.channel_row(layer);
    point_in([&](const model::State& state) { return state.time_row(layer); },
             [&] { return layer == 0 ? first_row() : receive(time_row); });
    point_out([&](model::State& state) { return state.time_row(layer); }, out_ && layer > 0 ? out_->floats(time_row) : nullptr);
    step("mix_time", layer, [&] { model_.mix_time(*workspace_, layer, pointers_in_.data(), pointers_out_.data()); });
    if (layer > 0) hand_on(time_row);

    step("project", layer, [&] { model_.project(*workspace_, layer); });
    const Index part_floats = model_.state_shape().part_floats;
    for (Index group = 0; group < layout_.groups(); ++group) {
      const Index message = layout_.state(layer, group), first = layout_.first_part(group);
      point_in([&](const model::State& state) { return state.parts(layer) + first * part_floats; },
               [&] { return receive(message); });
      point_out([&](model::State& state) { return state.parts(layer) + first * part_floats; },
                out_ ? out_->floats(message) : nullptr);
      const auto begin = Clock::now();
      step("pass_state", layer, [&] {
        model_.pass_state(*workspace_, layer, first, layout_.parts(group), pointers_in_.data(), pointers_out_.data());
      });
      statistics_.state_seconds += seconds_since(begin);
      hand_on(message);
    }
    step("read_out", layer, [&] { model_.read_out(*workspace_, layer); });

    point_in([&](const model::State& state) { return state.channel_row(layer); }, [&] { return receive(channel_row); });
    point_out([&](model::State& state) { return state.channel_row(layer); }, out_ ? out_->floats(channel_row) : nullptr);
    step("mix_channel", layer, [&] { model_.mix_channel(*workspace_, layer, pointers_in_.data(), pointers_out_.data()); });
    hand_on(channel_row);
    step("feed_forward", layer, [&] { model_.feed_forward(*workspace_, layer); });
  }

  void finish_block(const plan::Block& block) {
    const bool sums = job_.request.sums();
    if (in_ && sums) desk_.await(number_, layout_.sums());
    step("readout", -1, [&] {
      readout_.read(*workspace_, block, next_ids_, in_ && sums ? in_->sums() : nullptr, out_ && sums ? out_->sums() : nullptr,
                    results_, [this] {
                      transport_.note_step();
                      transport_.progress();
                    });
    });
    stream_.synchronize();  // states and carries of this block are read, and written over, by the host
    if (sums) hand_on(layout_.sums());
    for (std::size_t i = 0; i < results_.size(); ++i) {
      if (states_[i] && job_.request.states) {
        results_[i].state.assign(states_[i]->values().begin(), states_[i]->values().end());
        results_[i].finite = results_[i].finite && all_finite(results_[i].state);
      }
      post(results_[i]);
      results_[i] = {};
      if (forks(block.slices[i])) job_.fork->take(block.slices[i], states_[i] ? std::move(states_[i]) : state_handed_on());
      states_[i].reset();
    }
    take_results();
  }

  void post(const SliceResult& result) {
    transport_.post_result(pack(result));
    wait([&] { return transport_.results_in_flight() < kResultBytesInFlight; }, "rank 0 to take results");
  }

  bool forks(const plan::Slice& slice) const { return job_.fork && job_.fork->wants(slice); }

  template <class Body>
  void run_fork(Body body) {
    const auto begin = Clock::now();
    const double waited = waits_.seconds();
    body();
    statistics_.fork_seconds += seconds_since(begin) - (waits_.seconds() - waited);
    if (job_.trace) job_.trace->add("fork", "compute", begin, Clock::now(), number_, -1);
  }

  // A copy of the state in the carry that this block hands on.
  std::unique_ptr<model::State> state_handed_on() {
    auto state = std::make_unique<model::State>(model_.make_state());
    out_->copy_to(*state);
    model_.first_layer_row(*workspace_, ids_.back(), state->time_row(0));
    stream_.synchronize();
    return state;
  }

  // The buffer for layer 0's time-mix row, which does not travel.
  float* first_row() {
    if (first_row_.size() == 0) first_row_ = Array<float>(model_.config().channels, model_.device(), Memory::shared);
    return first_row_.data();
  }

  // The message of the outgoing carry, if there is one, is written.
  void hand_on(Index message) {
    if (!out_) return;
    const auto begin = Clock::now();
    desk_.ready(number_, message);
    statistics_.send_seconds += seconds_since(begin);
  }

  const float* receive(Index message) {
    const auto begin = Clock::now();
    desk_.await(number_, message);
    if (job_.trace) {
      const auto end = Clock::now();
      if (end - begin > std::chrono::microseconds(20)) {
        job_.trace->add("wait", "wait", begin, end, number_, message / (layout_.groups() + 2));
      }
    }
    return in_->floats(message);
  }

  // Where each segment finds what came before it: a document's first slice in the job's or the model's own state, if there
  // is one, the first segment of a block that continues a document in the incoming carry.
  template <class Place, class Receive>
  void point_in(Place place, Receive receive) {
    const model::State* start = job_.start ? job_.start : model_.has_tuned_state() ? &model_.initial_state() : nullptr;
    if (start) std::fill(pointers_in_.begin(), pointers_in_.end(), place(*start));
    if (in_) pointers_in_[0] = receive();
  }

  // Where each segment leaves its state: in a State of its own when it is to be kept, the first of a chain in the
  // outgoing carry.
  template <class Place>
  void point_out(Place place, float* carried) {
    for (std::size_t i = 0; i < states_.size(); ++i) pointers_out_[i] = states_[i] ? place(*states_[i]) : nullptr;
    if (out_) pointers_out_[0] = carried;
  }

  template <class Body>
  void step(const char* name, Index layer, Body body) {
    const auto begin = Clock::now();
    body();
    if (job_.trace) job_.trace->add(name, "compute", begin, Clock::now(), number_, layer);
    transport_.note_step();
    transport_.progress();
  }

  template <class Condition>
  void wait(Condition condition, const char* what) {
    if (condition()) return;
    waits_.begin();
    transport::wait_until(transport_, condition, job_.timeout, [&] { return std::string(what); }, [this] { take_results(); });
    waits_.end();
  }

  void take_results() {
    if (transport_.rank() != 0) return;
    // Not all at once: between two blocks of its own rank 0 should not write for minutes.
    for (int taken = 0; taken < kResultsAtATime; ++taken) {
      const auto bytes = transport_.take_result();
      if (bytes.empty()) return;
      --results_due_;
      job_.on_result(unpack(bytes), 1.0 - waits_.seconds() / std::max(1e-9, seconds_since(begin_)));
      transport_.note_step();
      transport_.progress();
    }
  }

  void finish_results() {
    wait([&] { take_results(); return results_due_ == 0; }, "the other ranks' results");
  }

  static double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }
  Index layout_layers() const { return model_.config().layers; }

  const Job& job_;
  const plan::Plan& plan_;
  const model::Model& model_;
  transport::Transport& transport_;
  Stream stream_;
  WaitClock waits_;
  CarryLayout layout_;
  CarryDesk desk_;
  std::unique_ptr<model::Workspace> workspace_;
  Readout readout_;
  Statistics statistics_;
  Clock::time_point begin_ = Clock::now();
  Index results_due_ = 0;

  // The block being computed.
  Index number_ = 0;
  const Carry* in_ = nullptr;
  Carry* out_ = nullptr;
  TokenId previous_id_ = 0;
  std::vector<TokenId> ids_, next_ids_;
  std::vector<kernels::Segment> segments_;
  std::vector<std::unique_ptr<model::State>> states_;  // per segment, null where it is not kept
  std::vector<const float*> pointers_in_;
  std::vector<float*> pointers_out_;
  std::vector<SliceResult> results_;
  Array<float> first_row_;

  const Fork::Outlet outlet_{[this](SliceResult result) { post(result); },
                             [this] {
                               transport_.note_step();
                               transport_.progress();
                               take_results();
                             }};
};

}  // namespace

Statistics run(const Job& job, transport::Transport& transport, Stream stream) {
  RR_CHECK(job.plan.options.ranks == transport.size(), "a plan for ", job.plan.options.ranks, " ranks on ", transport.size());
  return Runner(job, transport, stream).run();
}

}  // namespace riverrun::ring
