// Hierarchy: the summaries of a document's sections become a document of their own, until one summary is left (rank 0).
#pragma once

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
  // Nothing more is to be written for this document.
  void drop(Index document) { texts_.erase(document); }

  // Writes the next level's documents, the texts taken since the last call, to `spool_path`, and changes `list` to them.
  // False when there are none; then no file is made. Error when a document gets no shorter from level to level.
  bool next_level(const std::string& spool_path, WorkList& list);

 private:
  const Writing& writing_;
  std::map<Index, std::map<Index, std::string>> texts_;  // by document and section
  Index level_ = 0;
};

}  // namespace riverrun::jobs
