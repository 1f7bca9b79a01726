// TextWriter: writes the texts of one rank from the states that its blocks leave behind, in batches, beside the ring.
//
// Reading comes first, because other ranks wait for it: a rank keeps the states and goes on, and writes while it has nothing to
// read: in a wait that has become much longer than a step of writing, and when it has read its part. When so many states are held
// that memory counts, it writes in full batches until fewer than one batch is left. What remains when all ranks have read
// everything is dealt out evenly among them. No text depends on any of this (generate/decoder.h).
#pragma once

#include <deque>
#include <span>

#include "generate/decoder.h"
#include "jobs/texts/writing.h"
#include "ring/fork.h"

namespace riverrun::jobs {

// What tells the random numbers of a document's texts apart.
constexpr Index kSummarySection = Index{1} << 31;   // its summary; sections have their number,
constexpr Index kLevelSections = Index{1} << 24;    // plus this many times the level of a hierarchy

// The documents as the ring sees them.
struct WritingDocuments {
  std::span<const std::uint64_t> keys;   // generate::document_key of each
  std::span<const Index> lengths;        // of their sequences, reminders included
  Index level = 0;                       // of a hierarchy
};

class TextWriter final : public ring::Fork {
 public:
  // All must outlive it. `ranks`: how many write.
  TextWriter(const Writing& writing, const WritingDocuments& documents, const model::Model& model, Index ranks, Stream stream);

  bool wants(const plan::Slice& slice) const override;
  void take(const plan::Slice& slice, std::unique_ptr<model::State> state) override;
  void between_blocks(const Outlet& outlet) override;
  bool while_waiting(const Outlet& outlet) override;
  void finish(transport::Transport& transport, transport::Clock::duration timeout, const Outlet& outlet) override;

 private:
  struct Item {
    Index document, section;
    std::unique_ptr<model::State> state;
  };
  Index held() const { return std::ssize(items_) + decoder_.waiting() + decoder_.writing(); }
  Index section_of(const plan::Slice& slice) const;
  void step(const Outlet& outlet, Index most);  // texts at once
  std::vector<std::byte> pack(const Item& item) const;
  Item unpack(std::span<const std::byte> bytes) const;

  const Writing& writing_;
  const WritingDocuments documents_;
  const model::Model& model_;
  const Index ranks_;
  Index most_held_;                    // states
  std::deque<Item> items_;
  std::vector<std::pair<Index, Index>> numbers_;  // document and section of each text given to the decoder
  std::vector<generate::Text> finished_;
  generate::Decoder decoder_;
};

}  // namespace riverrun::jobs
