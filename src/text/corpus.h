// Corpus: the first pass over the input. Every document is read and tokenised once, by one rank; the ids go
// into one flat file, the spool, which all ranks map. So shapes are known before anything is computed, and a
// rank's memory does not grow with the corpus.
//
// The spool is int32 ids of all good documents in input order, without a header, in the machine's byte order.
// It is scratch: of no use to another run.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/mapped_file.h"
#include "core/types.h"
#include "text/reader.h"
#include "text/tokenizer.h"

namespace riverrun::text {

struct CorpusOptions {
  TokenId start_token = -1, end_token = -1;  // put before / after every document, given tokens too; -1: none
  Index vocab = 0;                           // rows of the model's embedding, at least 1
  int threads = 1;                           // that tokenise; the ids do not depend on it
};

struct DocumentInfo {
  std::string id;
  Index first = 0;    // of its ids in the spool
  Index length = 0;   // ids in the spool, start and end token included; 0 for a bad document
  Index bytes = 0;    // of its text; 0 when tokens were given
  std::string error;  // not empty: the document is bad, and why
};

struct Corpus {
  std::vector<DocumentInfo> documents;  // in input order
  Index tokens = 0;                     // in the spool
};

// Reads all of `reader` and writes the spool to `spool_path`, over an older file of that name; the file is
// complete and closed on return. `tokenizer` may be null when all documents give tokens. With several threads, some
// tokenise documents while another reads the next ones. Memory: the list of documents, and a few times the
// largest one or a few megabytes.
//
// A document is bad, and the others go on, when the reader says so, when it has no tokens of its own and
// there is no end token ("document has no tokens"), or when one of its ids is not in [0, vocab).
//
// Throws InputError for a corpus without documents, an id given twice, text without a tokenizer, a start or
// end token outside the vocabulary, a spool path that cannot be created or is no regular file, and whatever
// the reader throws; Error when the spool cannot be written (disk full) or memory runs out. The spool is then
// removed.
Corpus read_corpus(Reader& reader, const Tokenizer* tokenizer, const CorpusOptions& options,
                   const std::string& spool_path);

// The spool, mapped read-only. May be read by several threads.
class TokenSpool {
 public:
  // Throws Error when the file does not hold exactly `tokens` ids, InputError when it cannot be opened.
  TokenSpool(const std::string& path, Index tokens);
  // Ids [first, first + count) of the spool, valid as long as this object. A range outside it is an Error.
  std::span<const TokenId> ids(Index first, Index count) const;

 private:
  MappedFile file_;
  Index tokens_;
};

}  // namespace riverrun::text
