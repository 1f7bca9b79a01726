// TextFiles: each document's generated text as a plain file, for people without HDF5 tools (--also-text).
//
// A file is named after its document's id and ends in ".txt". Ids come from outside, so: letters, digits, "-", "_" and
// "." stand for themselves, and so do characters beyond ASCII but controls; every other byte, and a "." or "-" at the
// beginning, becomes "%" and two hexadecimal digits. "%20" thus says what was there, and no name leaves the directory.
// Where that name alone might be another's, "~" and the document's row in the HDF5 file follow, which nothing else can
// end in: when two ids differ in nothing or in the case of letters, when characters are beyond ASCII (file systems
// fold case and accents in ways of their own), when the name is cut at 128 bytes, and when the id is empty.
//
//   kjv.txt -> kjv.txt.txt    a/../b -> a%2f..%2fb.txt    Moby Dick, moby dick -> Moby%20Dick~0.txt, moby%20dick~1.txt
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/types.h"

namespace riverrun::jobs {

// What a file shows: the summary, then each section or passage under a heading, "## Tokens 0 to 8191". Bytes that are not UTF-8
// are shown as U+FFFD.
struct DocumentText {
  struct Section {
    Index first_token = 0, tokens = 0;
    std::string text;
  };
  std::optional<std::string> summary;
  std::vector<Section> sections;
};

class TextFiles {
 public:
  // `ids` of all documents of the job, in the order of rows. Makes the directory, its parents too; InputError when
  // that cannot be done or files cannot be made in it.
  TextFiles(const std::string& directory, const std::vector<std::string>& ids);

  Index count() const { return std::ssize(paths_); }
  const std::string& path(Index document) const { return paths_.at(static_cast<std::size_t>(document)); }

  // Replaces what path(document) held, at once: written under another name, brought to the disk, and renamed. Error
  // that names the file when it cannot be done.
  void write(Index document, const DocumentText& text) const;

  // Writes the files of all documents that are done in a finished output file.
  void write_all(const std::string& output) const;

 private:
  std::vector<std::string> paths_;
};

}  // namespace riverrun::jobs
