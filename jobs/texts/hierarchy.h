// Hierarchy: the summaries of a document's sections become a document of their own, until one summary is left (rank 0).
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "jobs/run/work_list.h"
#include "jobs/texts/writing.h"

namespace riverrun::jobs {

class Hierarchy {
 public:
  explicit Hierarchy(const Writing& writing) : writing_(writing) {}

  // The text of a section that is not the whole document.
  void take(Index document, Index section, std::string text);
  // The texts of a document's first sections, which another run has written.
  void go_on(Index document, std::vector<std::string> texts);

  // Writes the next level's documents, the texts taken since the last call, to `spool_path`, and changes `list`, which has the lengths
  // of this level, to them. False when there are none.
  // Texts that are together hardly shorter than what they are about would go from level to level without end (bytes that were
  // not UTF-8 become more tokens when they are read): give_up(document, why) is called instead.
  bool next_level(const std::string& spool_path, WorkList& list, const std::function<void(Index, const std::string&)>& give_up);

 private:
  const Writing& writing_;
  std::map<Index, std::map<Index, std::string>> texts_;  // by document and section
};

}  // namespace riverrun::jobs
