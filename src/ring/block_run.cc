#include "ring/block_run.h"

#include <algorithm>
#include <utility>

#include "core/crc32c.h"
#include "core/error.h"

namespace riverrun::ring {

namespace {

using transport::Clock;

// How many layers the host launches beyond the last one whose messages are sent: enough to keep a GPU busy, few enough that its
// queue is not full and the host can send when something is written.
constexpr Index kLayersAhead = 2;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

}  // namespace

BlockRun::BlockRun(const Job& job, const CarryLayout& layout, transport::Transport& transport, CarryDesk& desk, ResultDesk& results,
                   Statistics& statistics, Stream stream)
    : job_(job), model_(job.model), layout_(layout), transport_(transport), desk_(desk), results_desk_(results), statistics_(statistics), stream_(stream),
      workspace_(model_.make_workspace(job.plan.options.block_tokens, stream)),
      readout_(model_, job.kernels, job.request, job.plan.options.block_tokens, stream) {}

void BlockRun::run(Index number, BlockProof* proof) {
  const plan::Block& block = job_.plan.blocks[number];
  number_ = number;
  in_ = desk_.open_incoming(number);
  out_ = desk_.open_outgoing(number);
  compute(block);
  if (proof) {
    sign(*proof);
    if (in_) proof->incoming = in_->store();
  }
  give_results(block);
  if (in_) desk_.close_incoming(number);
  if (out_) desk_.close_outgoing(number);
  finishing_ = false;
  statistics_.tokens += block.tokens;
  ++statistics_.blocks;
}

BlockProof BlockRun::run_again(const BlockProof& proof) {
  const plan::Block& block = job_.plan.blocks[proof.block];
  number_ = proof.block;
  Carry in(layout_, model_.device()), out(layout_, model_.device());
  if (!proof.incoming.empty()) in.load(proof.incoming);
  in_ = proof.incoming.empty() ? nullptr : &in;
  out_ = block.edge_out < 0 ? nullptr : &out;
  again_ = true;
  try {
    compute(block);
  } catch (...) {
    stream_.synchronize();  // what is under way may still use the two
    throw;
  }
  again_ = finishing_ = false;
  BlockProof found;
  sign(found);
  return found;
}

void BlockRun::compute(const plan::Block& block) {
  begin_block(block);
  for (Index layer = 0; layer < model_.config().layers; ++layer) run_layer(layer);
  read_out_block(block);
}

// What the block has come to: all its results, and the carry. Not where trouble began: a rank looks for that once per document,
// and so not always in the same block as another would.
void BlockRun::sign(BlockProof& proof) const {
  proof.block = number_;
  for (SliceResult result : results_) {
    result.trouble = {};
    proof.results_crc = crc32c(pack(result), proof.results_crc);
  }
  if (out_) proof.carry_crc = crc32c(out_->store());
}

void BlockRun::begin_block(const plan::Block& block) {
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
  start_block();
}

void BlockRun::start_block() {
  step("embed", -1, [&] {
    model_.start(*workspace_, ids_, segments_);
    if (in_) model_.first_layer_row(*workspace_, previous_id_, first_row());
  });
}

void BlockRun::run_layer(Index layer) {
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
  // The carry is whole, but for the sums: from here on the block ends, stop or not.
  if (layer + 1 == model_.config().layers) finishing_ = true;
  step("feed_forward", layer, [&] { model_.feed_forward(*workspace_, layer); });
}

void BlockRun::read_out_block(const plan::Block& block) {
  const bool sums = job_.request.sums();
  wait_for_stream();
  if (in_ && sums) await(layout_.sums());
  step("readout", -1, [&] {
    readout_.read(*workspace_, block, next_ids_, in_ && sums ? in_->sums() : nullptr, out_ && sums ? out_->sums() : nullptr,
                  results_, [this] {
                    transport_.note_step();
                    transport_.progress();
                  });
  });
  stream_.synchronize();  // states and carries of this block are read, and written over, by the host
  if (sums) hand_on(layout_.sums()), wait_for_stream();
  for (std::size_t i = 0; i < results_.size(); ++i) {
    if (states_[i] && job_.request.states) results_[i].state.assign(states_[i]->values().begin(), states_[i]->values().end());
    results_[i].finite = results_[i].finite && all_finite(results_[i].state) && (i > 0 || stays_finite(out_));
  }
  if (!again_) find_troubles(block);
}

void BlockRun::give_results(const plan::Block& block) {
  for (std::size_t i = 0; i < results_.size(); ++i) {
    results_desk_.post(results_[i]);
    results_[i] = {};
    if (forks(block.slices[i])) job_.fork->take(block.slices[i], states_[i] ? std::move(states_[i]) : state_handed_on());
    states_[i].reset();
  }
  results_desk_.take();
}

// What is not finite in a layer spoils the layers above and the tokens behind it: it shows in a carry's last row.
bool BlockRun::stays_finite(const Carry* carry) const {
  if (carry == nullptr) return true;
  const float* const row = carry->floats(layout_.channel_row(model_.config().layers - 1));
  return all_finite({row, static_cast<std::size_t>(model_.config().channels)});
}

// Reads the block once more, layer by layer, where a document's numbers have stopped being finite in it. Nothing is handed on.
void BlockRun::find_troubles(const plan::Block& block) {
  // Once per document: a carry may stay finite where results do not.
  const auto is_new = [&](std::size_t i) {
    return !results_[i].finite && (i > 0 || stays_finite(in_)) && looked_into_.insert(block.slices[i].document).second;
  };
  std::vector<std::size_t> open;
  for (std::size_t i = 0; i < results_.size(); ++i) {
    if (is_new(i)) open.push_back(i);
  }
  if (open.empty()) return;
  const Index D = model_.config().channels, L = model_.config().layers;
  if (residual_.size() == 0) residual_ = Array<float>(job_.plan.options.block_tokens * D);
  again_ = true;
  Carry* const out = std::exchange(out_, nullptr);
  start_block();
  for (Index layer = 0; layer < L && !open.empty(); ++layer) {
    run_layer(layer);
    model_.residual(*workspace_, 0, block.tokens, residual_.data());
    std::erase_if(open, [&](std::size_t i) {
      for (Index row = segments_[i].begin; row < segments_[i].end; ++row) {
        if (all_finite(residual_.span().subspan(static_cast<std::size_t>(row * D), static_cast<std::size_t>(D)))) continue;
        results_[i].trouble = {layer, block.slices[i].first_token + row - segments_[i].begin};
        return true;
      }
      return false;
    });
  }
  for (const std::size_t i : open) results_[i].trouble = {L, -1};
  out_ = out;
  again_ = false;
}

// A copy of the state in the carry that this block hands on.
std::unique_ptr<model::State> BlockRun::state_handed_on() {
  auto state = std::make_unique<model::State>(model_.make_state());
  out_->copy_to(*state);
  model_.first_layer_row(*workspace_, ids_.back(), state->time_row(0));
  stream_.synchronize();
  return state;
}

// The buffer for layer 0's time-mix row, which does not travel.
float* BlockRun::first_row() {
  if (first_row_.size() == 0) first_row_ = Array<float>(model_.config().channels, model_.device(), Memory::shared);
  return first_row_.data();
}

// The message of the outgoing carry, if there is one, is written.
void BlockRun::hand_on(Index message) {
  if (out_ && !again_) desk_.ready(number_, message);
}

// Until the GPU is at most kLayersAhead behind.
void BlockRun::keep_up() {
  const auto begin = Clock::now();
  desk_.send_written(kLayersAhead * layout_.messages_of_layer());
  trace_wait("wait_gpu", "compute", begin, -1);
}

void BlockRun::wait_for_stream() {
  const auto begin = Clock::now();
  desk_.wait_for_stream();
  trace_wait("wait_gpu", "compute", begin, -1);
}

void BlockRun::trace_wait(const char* name, const char* category, Clock::time_point begin, Index layer) {
  const auto end = Clock::now();
  if (job_.trace && end - begin > std::chrono::microseconds(20)) job_.trace->add(name, category, begin, end, number_, layer);
}

void BlockRun::await(Index message) {
  if (!again_) desk_.await(number_, message);
}

const float* BlockRun::receive(Index message) {
  const auto begin = Clock::now();
  await(message);
  trace_wait("wait", "wait", begin, message / layout_.messages_of_layer());
  return in_->floats(message);
}

// Where each segment finds what came before it: a document's first slice in the job's or the model's own state, if there
// is one, the first segment of a block that continues a document in the incoming carry.
template <class Place, class Receive>
void BlockRun::point_in(Place place, Receive receive) {
  const model::State* start = job_.start ? job_.start : model_.has_tuned_state() ? &model_.initial_state() : nullptr;
  if (start) std::fill(pointers_in_.begin(), pointers_in_.end(), place(*start));
  if (in_) pointers_in_[0] = receive();
}

// Where each segment leaves its state: in a State of its own when it is to be kept, the first of a chain in the
// outgoing carry.
template <class Place>
void BlockRun::point_out(Place place, float* carried) {
  for (std::size_t i = 0; i < states_.size(); ++i) pointers_out_[i] = states_[i] ? place(*states_[i]) : nullptr;
  if (out_) pointers_out_[0] = carried;
}

template <class Body>
void BlockRun::step(const char* name, Index layer, Body body) {
  const auto begin = Clock::now();
  body();
  if (job_.trace) job_.trace->add(name, "compute", begin, Clock::now(), number_, layer);
  transport_.note_step();
  transport_.progress();
  keep_up();
  stop_here();
}

}  // namespace riverrun::ring
