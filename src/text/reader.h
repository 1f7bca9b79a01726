// Reader: the documents of an input, one at a time.
//
// An input is named by one string:
//   a file        one document of text, its id the file's name
//   *.jsonl       JSON Lines: one document a line, {"text": "..."} or {"tokens": [1, 2]}, optionally an "id"
//   a directory   every regular file below it, in the byte order of the relative paths, which are the ids;
//                 *.jsonl in it give their lines
//   -             standard input as text; with suffixes (-.jsonl, -.gz, -.jsonl.zst) read as such a file;
//                 in ids it is called "stdin"
// A file whose name ends in .gz or .zst is decompressed (byte_stream.h); kind and id go by the rest of it.
//
// Directories: entries whose names start with a dot are left out, files and folders alike. Symbolic links are
// followed; a link to a directory that it lies in is left out with a warning, so loops end. Whatever is
// neither file nor directory (sockets, pipes, devices) is left out with a warning. A dangling link is an
// InputError.
//
// Text: a UTF-8 byte order mark at the start of a text or JSON Lines file is dropped. Otherwise every byte
// counts, NUL and CR included. Text that is not UTF-8 makes that document bad (Document::error), unless kept.
//
// JSON Lines: lines of white space are passed over, but counted. An "id" is a string or an integer; the
// default is <name>:<line>, lines counted from 1, as in corpus.jsonl:17. Other members must be JSON and are
// not used.
//
// InputError, which refuses the whole run:
//   - an input that does not exist, cannot be opened, or is a directory without files;
//   - a compressed file that is damaged or cut;
//   - a line that is not JSON, no object, not UTF-8, longer than 4 GiB, or nested more than 256 deep;
//   - both or neither of "text" and "tokens", one of the three members given twice or of the wrong type;
//   - a token that is not an integer of 32 bits;
//   - an id that is empty, longer than 4096 bytes, not UTF-8, or holds a NUL.
// Error: the system fails to read, or memory runs out on a line.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/types.h"

namespace riverrun::text {

struct Document {
  std::string id;               // UTF-8
  std::string text;             // empty when tokens were given
  std::vector<TokenId> tokens;  // as given: not checked against any vocabulary
  bool has_tokens = false;
  std::string where;  // "corpus.jsonl line 17" or the file's path, for messages
  std::string error;  // not empty: this document is bad; says why, where and what to do. The others go on.
};

class Reader {
 public:
  virtual ~Reader() = default;
  // Overwrites `document` with the next one; false at the end. The same object, passed again, keeps its
  // memory.
  virtual bool next(Document& document) = 0;
  // Passes over the next document instead, looking into it no further than is needed to find its end: what is
  // wrong with it may go unnoticed. False at the end.
  virtual bool skip() {
    Document ignored;
    return next(ignored);
  }
};

struct ReaderOptions {
  bool keep_invalid_utf8 = false;  // text files only: bytes that are not UTF-8 are tokenised as they are
};

// Lists directories at once, opens each file when its turn comes. Throws as above, and next() does too.
std::unique_ptr<Reader> open_reader(const std::string& input, const ReaderOptions& options);

inline constexpr Index kMaxIdBytes = 4096;

// Throws InputError unless `id` is fit to name a document (see above).
void check_document_id(const std::string& id, const std::string& where);

}  // namespace riverrun::text
