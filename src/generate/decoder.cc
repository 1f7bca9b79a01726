#include "generate/decoder.h"

#include <algorithm>
#include <limits>

#include "core/error.h"
#include "core/thread_pool.h"

namespace riverrun::generate {

namespace {
constexpr Index kPromptRows = 256;  // of prompts in one block, beside one row of every slot
}

// A text on its way. All but the last of the ids that the model has not read are read without logits; the last one is
// read together with those of other texts, and the next token is drawn.
struct Decoder::Slot {
  Slot(Task from, const EndRules& rules) : task(std::move(from)), end(rules), unread(std::move(task.prompt)) {}

  Task task;
  TextEnd end;
  Occurrences occurrences;
  Sampler sampler;
  std::vector<TokenId> unread;
  Index read = 0;  // of unread
  bool finite = true;

  Index left() const { return std::ssize(unread) - read; }
  bool done() const { return !finite || end.reason() != StopReason::none; }
};

Decoder::Decoder(const model::Model& model, const Settings& settings, TokenBytes token_bytes, Index slots, Stream stream)
    : model_(model), settings_(settings), token_bytes_(std::move(token_bytes)), stream_(stream), slots_(slots),
      capacity_(slots + kPromptRows) {
  RR_CHECK(slots >= 1, slots, " texts at once");
  RR_CHECK(settings.end.max_tokens >= 1, "texts of ", settings.end.max_tokens, " tokens");
  check(settings.sampling);
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
  for (auto& slot : slots_) {
    if (slot != nullptr || queue_.empty()) continue;
    slot = std::make_unique<Slot>(std::move(queue_.front()), settings_.end);
    queue_.pop_front();
    slot->task.state = model::to_device(model_, std::move(slot->task.state), stream_);
  }
}

// First the rows whose logits are wanted, one per slot, then parts of prompts, as many as there is room for.
void Decoder::choose_rows() {
  drawing_.clear(), ids_.clear(), segments_.clear(), states_.clear();
  const auto add_rows = [this](Slot& slot, Index count) {
    const Index begin = std::ssize(ids_);
    ids_.insert(ids_.end(), slot.unread.begin() + slot.read, slot.unread.begin() + slot.read + count);
    segments_.push_back({begin, begin + count});
    states_.push_back(slot.task.state.get());
    slot.read += count;
  };
  for (auto& slot : slots_) {
    if (slot == nullptr || slot->left() != 1) continue;
    add_rows(*slot, 1);
    drawing_.push_back(slot.get());
  }
  for (auto& slot : slots_) {
    if (slot == nullptr || slot->left() <= 1) continue;
    const Index count = std::min(slot->left() - 1, capacity_ - std::ssize(ids_));
    if (count > 0) add_rows(*slot, count);
  }
}

void Decoder::run_block() {
  if (workspace_ == nullptr) {
    workspace_ = model_.make_workspace(capacity_, stream_, kernels::Phase::decode);
    logits_ = Array<float>(slots() * model_.config().vocab, model_.device(), Memory::shared);
  }
  model_.start(*workspace_, ids_, segments_);
  model::run_layers(model_, *workspace_, states_);
  if (!drawing_.empty()) model_.logits(*workspace_, 0, std::ssize(drawing_), logits_.data());
  stream_.synchronize();
}

void Decoder::draw(Slot& slot, std::span<float> logits) {
  for (const TokenId id : settings_.banned) logits[id] = -std::numeric_limits<float>::infinity();
  slot.occurrences.penalise(settings_.sampling, logits);
  const Index position = std::ssize(slot.end.tokens());
  const TokenId token = slot.sampler.draw(logits, settings_.sampling, slot.task.draws.uniform(position));
  if (token < 0) {
    slot.finite = false;
    return;
  }
  const std::string bytes = token_bytes_(token);
  slot.end.add(token, bytes);
  slot.occurrences.add(token, counts_as_repetition(bytes), settings_.sampling.decay);
  slot.unread = {token};
  slot.read = 0;
}

void Decoder::step(std::vector<Text>& finished) {
  fill_slots();
  choose_rows();
  if (ids_.empty()) return;
  run_block();
  const Index V = model_.config().vocab;
  stream_.pool->run(std::ssize(drawing_), [&](Index at, int) {
    draw(*drawing_[at], logits_.span().subspan(static_cast<std::size_t>(at * V), static_cast<std::size_t>(V)));
  });
  for (auto& slot : slots_) {
    if (slot == nullptr || !slot->done()) continue;
    finished.push_back({slot->task.number, slot->end.tokens(), std::string(slot->end.text()), slot->end.reason(), slot->finite});
    slot.reset();
  }
}

}  // namespace riverrun::generate
