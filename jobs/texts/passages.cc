#include "jobs/texts/passages.h"

#include <algorithm>

#include "core/error.h"
#include "jobs/run/file_spec.h"
#include "jobs/texts/extractive.h"
#include "output/utf8.h"

namespace riverrun::jobs {

Passages::Passages(Index count, Index window, Index start_tokens, const text::Corpus& corpus, const std::string& spool_path,
                   const text::Tokenizer& tokenizer, Index vocab)
    : count_(count), window_(window), start_tokens_(start_tokens), corpus_(corpus), spool_(spool_path, corpus.tokens),
      bytes_of_(text::token_bytes(tokenizer, vocab)) {}

Index Passages::windows_of(Index document) const { return count_windows(std::ssize(ids_of(document)), window_); }

Index Passages::of_document(Index document) const { return std::min(count_, windows_of(document)); }

std::span<const TokenId> Passages::ids_of(Index document) const {
  const text::DocumentInfo& info = corpus_.documents.at(static_cast<std::size_t>(document));
  return info.length == 0 ? std::span<const TokenId>{} : spool_.ids(info.first + start_tokens_, info.length - start_tokens_);
}

std::span<const TokenId> Passages::ids_of(Index document, Index number) const {
  const auto ids = ids_of(document).subspan(static_cast<std::size_t>(number * window_));
  return ids.first(std::min(ids.size(), static_cast<std::size_t>(window_)));
}

std::string Passages::spell(std::span<const TokenId> ids) const {
  std::string text;
  for (const TokenId id : ids) text += bytes_of_.at(static_cast<std::size_t>(id));
  return text;
}

output::PassagesSpec Passages::spec() const {
  output::PassagesSpec spec{{}, 1};
  for (Index d = 0; d < std::ssize(corpus_.documents); ++d) {
    spec.document.insert(spec.document.end(), static_cast<std::size_t>(of_document(d)), d);
    for (Index window = 0; window < windows_of(d); ++window) {
      spec.text_bytes = std::max(spec.text_bytes, std::ssize(output::valid_utf8(spell(ids_of(d, window)))));
    }
  }
  return spec;
}

std::vector<output::Passage> Passages::choose(Index document, std::span<const float> windows, Index width) const {
  RR_CHECK(std::ssize(windows) == windows_of(document) * width, windows.size(), " values for ", windows_of(document), " windows of ", width);
  std::vector<output::Passage> passages;
  Index window = 0, byte = 0;
  for (const Index chosen : choose_passages(windows, width, count_)) {
    for (; window < chosen; ++window) byte += std::ssize(spell(ids_of(document, window)));
    const auto ids = ids_of(document, chosen);
    std::string text = spell(ids);
    const Index bytes = std::ssize(text);
    passages.push_back({chosen * window_, std::ssize(ids), byte, bytes, std::move(text)});
  }
  return passages;
}

}  // namespace riverrun::jobs
