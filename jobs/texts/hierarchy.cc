#include "jobs/texts/hierarchy.h"

#include <algorithm>

#include "core/error.h"
#include "text/spool_writer.h"

namespace riverrun::jobs {

namespace {
// Two texts fit a section, so that this many levels shrink any document to one, unless texts become longer when they are read again.
constexpr Index kMostLevels = 60;
}  // namespace

void Hierarchy::take(Index document, Index section, std::string text) { texts_[document][section] = std::move(text); }

void Hierarchy::go_on(Index document, std::vector<std::string> texts) {
  for (std::size_t section = 0; section < texts.size(); ++section) take(document, static_cast<Index>(section), std::move(texts[section]));
}

bool Hierarchy::next_level(const std::string& spool_path, WorkList& list) {
  if (texts_.empty()) return false;
  RR_CHECK(++level_ <= kMostLevels, "the summaries of document ", texts_.begin()->first, " do not get shorter from level to level; use a larger --section-tokens");
  std::fill(list.length.begin(), list.length.end(), 0);
  text::SpoolWriter spool(spool_path);
  std::vector<TokenId> ids;
  for (const auto& [document, sections] : texts_) {
    std::string joined;
    for (const auto& [section, text] : sections) joined += joined.empty() && section == 0 ? text : kBetweenTexts + text;
    ids.clear();
    writing_.tokenizer().encode(joined, ids);
    list.first[document] = spool.tokens();
    list.length[document] = writing_.sequence_tokens(std::ssize(ids));
    spool.write(ids);
  }
  spool.finish();
  list.spool_path = spool_path;
  list.spool_tokens = spool.tokens();
  texts_.clear();
  return true;
}

}  // namespace riverrun::jobs
