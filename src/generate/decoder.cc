#include "generate/decoder.h"

#include <algorithm>

#include "core/error.h"
#include "core/thread_pool.h"

namespace riverrun::generate {

// A text on its way. All but the last of the ids that the model has not read are read without logits; the last one is
// read together with those of other texts, and the next token is drawn.
struct Decoder::Slot {
  Slot(Task from, const EndRules& rules) : task(std::move(from)), end(rules), unread(std::move(task.prompt)) {}

  Task task;
  TextEnd end;
  Occurrences occurrences;
  std::vector<TokenId> unread;
  Index read = 0;  // of unread
  bool finite = true;

  Index left() const { return std::ssize(unread) - read; }
  bool done() const { return !finite || end.reason() != StopReason::none; }
};

Decoder::Decoder(const model::Model& model, const Settings& settings, TokenBytes token_bytes, Index slots, Stream stream)
    : model_(model), settings_(settings), token_bytes_(std::move(token_bytes)), stream_(stream), slots_(slots),
      slot_states_(slots), capacity_(slots + kPromptRows) {
  RR_CHECK(slots >= 1, slots, " texts at once");
  RR_CHECK(settings.end.max_tokens >= 1, "texts of ", settings.end.max_tokens, " tokens");
  check(settings.sampling);
  RR_CHECK(model.config().vocab <= kernels::kMostDrawn, "a vocabulary of ", model.config().vocab);
  for (const TokenId id : settings.banned) RR_CHECK(id >= 0 && id < model.config().vocab, "banned token ", id);
}

// As after an error in the ring: memory must not go back while kernels use it.
Decoder::~Decoder() {
  try {
    stream_.synchronize();
  } catch (const Error&) {  // follows from the one that is on its way already
  }
}

void Decoder::add(Task task) {
  RR_CHECK(!task.prompt.empty() && task.state != nullptr, "a text without a prompt or a state");
  for (const TokenId id : task.prompt) {
    RR_CHECK_INPUT(id >= 0 && id < model_.config().vocab, "token ", id, " of a prompt is not in the model's vocabulary of ",
                   model_.config().vocab);
  }
  queue_.push_back(std::move(task));
}

Index Decoder::writing() const {
  return std::count_if(slots_.begin(), slots_.end(), [](const auto& slot) { return slot != nullptr; });
}

void Decoder::fill_slots() {
  for (std::size_t i = 0; i < slots_.size() && !queue_.empty(); ++i) {
    if (slots_[i] != nullptr) continue;
    slots_[i] = std::make_unique<Slot>(std::move(queue_.front()), settings_.end);
    queue_.pop_front();
    model::move_state(model_, slots_[i]->task.state, slot_states_[i], stream_);
    slots_[i]->task.state.reset();
  }
}

// The last texts go into the first free slots.
void Decoder::close_gaps() {
  std::size_t end = slots_.size();
  for (std::size_t i = 0; i < end; ++i) {
    if (slots_[i] != nullptr) continue;
    while (end > i + 1 && slots_[end - 1] == nullptr) --end;
    if (--end == i) return;
    model::move_state(model_, slot_states_[end], slot_states_[i], stream_);
    slots_[i] = std::move(slots_[end]);
  }
}

// First the rows whose logits are wanted, one per slot, then parts of prompts, as many as there is room for.
void Decoder::choose_rows() {
  drawing_.clear(), ids_.clear(), segments_.clear(), states_.clear();
  const auto add_rows = [this](std::size_t at, Index count) {
    Slot& slot = *slots_[at];
    const Index begin = std::ssize(ids_);
    ids_.insert(ids_.end(), slot.unread.begin() + slot.read, slot.unread.begin() + slot.read + count);
    segments_.push_back({begin, begin + count});
    states_.push_back(slot_states_[at].get());
    slot.read += count;
  };
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    if (slots_[i] == nullptr || slots_[i]->left() != 1) continue;
    add_rows(i, 1);
    drawing_.push_back(slots_[i].get());
  }
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    if (slots_[i] == nullptr || slots_[i]->left() <= 1) continue;
    const Index count = std::min(slots_[i]->left() - 1, capacity_ - std::ssize(ids_));
    if (count > 0) add_rows(i, count);
  }
}

void Decoder::prepare() {
  Device& device = model_.device();
  const Index V = model_.config().vocab;
  workspace_ = model_.make_workspace(capacity_, stream_, kernels::Phase::decode);
  logits_ = Array<float>(slots() * V, device);
  if (!settings_.sampling.greedy()) random_ = Array<std::uint64_t>(slots(), device, Memory::shared);
  next_ = Array<TokenId>(slots(), device, Memory::shared);
  banned_ = Array<TokenId>(std::ssize(settings_.banned), device, Memory::shared);
  std::ranges::copy(settings_.banned, banned_.data());
  if (settings_.sampling.penalises()) {
    const Index most = slots() * std::min(V, settings_.end.max_tokens);
    penalty_begin_ = Array<Index>(slots() + 1, device, Memory::shared);
    penalised_ = Array<TokenId>(most, device, Memory::shared);
    penalties_ = Array<float>(most, device, Memory::shared);
  }
  steps_ = std::make_unique<BatchSteps>(model_, *workspace_, [this](Index rows) { read_out(rows); }, stream_);
}

void Decoder::list_penalties() {
  if (penalty_begin_.size() == 0) return;
  Index at = 0;
  for (std::size_t row = 0; row < drawing_.size(); ++row) {
    penalty_begin_[static_cast<Index>(row)] = at;
    drawing_[row]->occurrences.list_penalties(settings_.sampling, penalised_.data() + at, penalties_.data() + at);
    at += drawing_[row]->occurrences.size();
  }
  penalty_begin_[std::ssize(drawing_)] = at;
}

// A random number depends on the place of its token alone.
void Decoder::fetch_random() {
  if (random_.size() == 0) return;
  for (std::size_t row = 0; row < drawing_.size(); ++row) {
    const Slot& slot = *drawing_[row];
    random_[static_cast<Index>(row)] = slot.task.draws.word(std::ssize(slot.end.tokens()));
  }
}

// From the last layer of the first rows to their next tokens.
void Decoder::read_out(Index rows) {
  const Index V = model_.config().vocab;
  model_.logits(*workspace_, 0, rows, logits_.data());
  model_.pick_largest(*workspace_, {rows, V, logits_.data(), banned_.size(), banned_.data(), penalty_begin_.data(), penalised_.data(),
                                    penalties_.data(), next_.data()});
  const Sampling& sampling = settings_.sampling;
  if (sampling.greedy()) return;
  model_.draw(*workspace_, {rows, V, logits_.data(), sampling.inverse_temperature(), sampling.top_p, sampling.top_k, random_.data(), next_.data()});
}

void Decoder::run_block() {
  if (workspace_ == nullptr) prepare();
  list_penalties();
  fetch_random();
  const Index rows = std::ssize(drawing_);
  if (drawing_.size() == ids_.size()) {
    steps_->launch(ids_, states_);
  } else {
    model_.start(*workspace_, ids_, segments_);
    model::run_layers(model_, *workspace_, states_);
    if (rows > 0) read_out(rows);
  }
  stream_.synchronize();
}

void Decoder::take(Slot& slot, TokenId token) {
  if (token < 0) {
    slot.finite = false;
    return;
  }
  const std::string bytes = token_bytes_(token);
  slot.end.add(token, bytes);
  if (settings_.sampling.penalises()) slot.occurrences.add(token, counts_as_repetition(bytes), settings_.sampling.decay);
  slot.unread = {token};
  slot.read = 0;
}

void Decoder::step(std::vector<Text>& finished) {
  fill_slots();
  close_gaps();
  choose_rows();
  if (ids_.empty()) return;
  run_block();
  stream_.pool->run(std::ssize(drawing_), [&](Index row, int) { take(*drawing_[row], next_[row]); });
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    auto& slot = slots_[i];
    if (slot == nullptr || !slot->done()) continue;
    finished.push_back({slot->task.number, slot->end.tokens(), std::string(slot->end.text()), slot->end.reason(), slot->finite});
    slot.reset();
    if (model_.device().kind() == DeviceKind::cpu) slot_states_[i].reset();
  }
}

}  // namespace riverrun::generate
