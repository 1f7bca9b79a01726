#include "jobs/texts/text_writer.h"

#include <algorithm>
#include <cstring>

#include "core/error.h"
#include "ring/even_out.h"

namespace riverrun::jobs {

namespace {

constexpr Index kMostHeld = 1024;

Index most_states(const model::StateShape& state) { return std::clamp<Index>(kMostStateBytes / state.bytes(), 1, kMostHeld); }

}  // namespace

TextWriter::TextWriter(const Writing& writing, const WritingDocuments& documents, const model::Model& model, Index ranks, Stream stream)
    : writing_(writing), documents_(documents), model_(model), ranks_(ranks), most_held_(most_states(model.state_shape())),
      decoder_(model, writing.settings(), writing.token_bytes(), texts_at_once(model.state_shape()), stream) {}

bool TextWriter::wants(const plan::Slice& slice) const {
  return slice.last || (writing_.cuts().tokens > 0 && writing_.cuts().end_after(slice.first_token) == slice.first_token + slice.tokens);
}

Index TextWriter::section_of(const plan::Slice& slice) const {
  const plan::Sections sections = writing_.cuts();
  if (sections.tokens == 0 || slice.first_token < sections.tokens) return 0;
  return (sections.end_after(slice.first_token) - sections.tokens) / (sections.tokens + sections.between);
}

void TextWriter::take(const plan::Slice& slice, std::unique_ptr<model::State> state) {
  items_.push_back({slice.document, section_of(slice), std::move(state)});
}

void TextWriter::step(const Outlet& outlet, Index most) {
  while (!items_.empty() && decoder_.waiting() + decoder_.writing() < most) {
    Item item = std::move(items_.front());
    items_.pop_front();
    const bool summary = writing_.is_summary(documents_.lengths[item.document], item.section);
    const Index key = summary ? kSummarySection : item.section + documents_.level * kLevelSections;
    numbers_.emplace_back(item.document, item.section);
    decoder_.add({std::ssize(numbers_) - 1, std::move(item.state), summary ? writing_.after_prompt() : writing_.section_prompt(),
                  generate::Draws(writing_.settings().seed, documents_.keys[item.document], key)});
  }
  decoder_.step(finished_);
  for (generate::Text& text : finished_) {
    const auto [document, section] = numbers_[text.number];
    ring::SliceResult result;
    result.document = document;
    result.finite = text.finite;
    result.written = {section, std::move(text.tokens), writing_.clean(text.text), text.reason};
    outlet.post(std::move(result));
  }
  finished_.clear();
  outlet.alive();
}

void TextWriter::between_blocks(const Outlet& outlet) {
  if (held() < most_held_) return;
  while (held() >= decoder_.slots()) step(outlet, decoder_.slots());
}

bool TextWriter::while_waiting(const Outlet& outlet) {
  if (held() == 0) return false;
  // A text that is begun stays on its rank: the others' share of what is held must still be there to be dealt out.
  step(outlet, std::clamp<Index>(held() / ranks_, 1, decoder_.slots()));
  return true;
}

void TextWriter::finish(transport::Transport& transport, transport::Clock::duration timeout, const Outlet& outlet) {
  ring::Items bytes;
  for (; !items_.empty(); items_.pop_front()) bytes.push_back(pack(items_.front()));
  for (auto& item : ring::even_out(transport, std::move(bytes), held(), timeout)) {
    items_.push_back(unpack(item));
    item = {};
  }
  while (held() > 0) step(outlet, decoder_.slots());
}

std::vector<std::byte> TextWriter::pack(const Item& item) const {
  const auto state = item.state->values();
  std::vector<std::byte> bytes(2 * sizeof(Index) + state.size_bytes());
  std::memcpy(bytes.data(), &item.document, sizeof(Index));
  std::memcpy(bytes.data() + sizeof(Index), &item.section, sizeof(Index));
  std::memcpy(bytes.data() + 2 * sizeof(Index), state.data(), state.size_bytes());
  return bytes;
}

TextWriter::Item TextWriter::unpack(std::span<const std::byte> bytes) const {
  Item item{0, 0, std::make_unique<model::State>(model_.state_shape())};
  const auto state = item.state->values();
  RR_CHECK(bytes.size() == 2 * sizeof(Index) + state.size_bytes(), "a state of ", bytes.size(), " bytes came from another rank");
  std::memcpy(&item.document, bytes.data(), sizeof(Index));
  std::memcpy(&item.section, bytes.data() + sizeof(Index), sizeof(Index));
  RR_CHECK(item.document >= 0 && item.document < std::ssize(documents_.keys) && item.section >= 0, "a state of document ", item.document,
           ", section ", item.section, " came from another rank");
  std::memcpy(state.data(), bytes.data() + 2 * sizeof(Index), state.size_bytes());
  return item;
}

}  // namespace riverrun::jobs
