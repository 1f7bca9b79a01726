#include "jobs/texts/hierarchy.h"

#include <utility>

#include "core/error.h"
#include "text/spool_writer.h"

namespace riverrun::jobs {

namespace {
// Two texts and what joins them fit a section. So where a document's texts need three sections or more, and none became longer when
// it was read again, they have at most three quarters of its tokens.
bool hardly_shorter(Index tokens, Index before) { return tokens > before - before / 10; }
}  // namespace

void Hierarchy::take(Index document, Index section, std::string text) { texts_[document][section] = std::move(text); }

void Hierarchy::go_on(Index document, std::vector<std::string> texts) {
  for (std::size_t section = 0; section < texts.size(); ++section) take(document, static_cast<Index>(section), std::move(texts[section]));
}

bool Hierarchy::next_level(const std::string& spool_path, WorkList& list, const std::function<void(Index, const std::string&)>& give_up) {
  if (texts_.empty()) return false;
  const std::vector<Index> before = std::exchange(list.length, std::vector<Index>(list.length.size()));
  text::SpoolWriter spool(spool_path);
  std::vector<TokenId> ids;
  for (const auto& [document, sections] : texts_) {
    std::string joined;
    for (const auto& [section, text] : sections) joined += joined.empty() && section == 0 ? text : kBetweenTexts + text;
    ids.clear();
    writing_.tokenizer().encode(joined, ids);
    const Index tokens = writing_.sequence_tokens(std::ssize(ids));
    if (writing_.count_sections(std::ssize(ids)) > 1 && hardly_shorter(tokens, before[document])) {
      give_up(document, concat("the texts of its sections do not get shorter: ", tokens, " tokens when read, after ", before[document],
                               "; use a larger --section-tokens or a smaller --max-new-tokens"));
      continue;
    }
    list.first[document] = spool.tokens();
    list.length[document] = tokens;
    spool.write(ids);
  }
  spool.finish();
  list.spool_path = spool_path;
  list.spool_tokens = spool.tokens();
  texts_.clear();
  return spool.tokens() > 0;
}

}  // namespace riverrun::jobs
