// Passages: the extractive summary of every document (rank 0): how many passages each has, which ones, and what they say.
//
// A passage is one window of a document. Its text is what its tokens spell, so that bytes are counted in the text that all
// tokens of the document spell one after the other: the document's own for the World vocabulary, its normalised form for
// GPT-NeoX. Tokens that stand for no text, such as a start token or ids without an entry in the vocabulary, have no bytes.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "output/schema.h"
#include "text/corpus.h"
#include "text/tokenizer.h"

namespace riverrun::jobs {

class Passages {
 public:
  // At most `count` windows of `window` tokens per document. `corpus` must outlive it; the spool may lose its name. Ids of the
  // corpus are below `vocab`.
  Passages(Index count, Index window, Index start_tokens, const text::Corpus& corpus, const std::string& spool_path,
           const text::Tokenizer& tokenizer, Index vocab);

  // Windows and passages of a document; without tokens it has none.
  Index windows_of(Index document) const;
  Index of_document(Index document) const;
  // Every document's rows, and room for the longest window's text.
  output::PassagesSpec spec() const;
  // The passages of a document in its order, given the vectors of all its windows: [w, width].
  std::vector<output::Passage> choose(Index document, std::span<const float> windows, Index width) const;

 private:
  std::span<const TokenId> ids_of(Index document) const;  // without the start token
  std::span<const TokenId> ids_of(Index document, Index window_number) const;
  std::string spell(std::span<const TokenId> ids) const;

  Index count_, window_, start_tokens_;
  const text::Corpus& corpus_;
  text::TokenSpool spool_;
  std::vector<std::string> bytes_of_;  // per token id
};

}  // namespace riverrun::jobs
