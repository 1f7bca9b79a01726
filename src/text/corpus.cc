#include "text/corpus.h"

#include <new>
#include <unordered_set>

#include "core/error.h"
#include "text/spool_writer.h"

namespace riverrun::text {
namespace {

// The first pass itself; one object per call of read_corpus.
class FirstPass {
 public:
  FirstPass(const Tokenizer* tokenizer, const CorpusOptions& options, const std::string& spool_path)
      : tokenizer_(tokenizer), options_(options), spool_(spool_path) {}

  void add(Document& document) {
    DocumentInfo& info = corpus_.documents.emplace_back();
    info.id = std::move(document.id);
    info.first = spool_.tokens();
    info.bytes = document.has_tokens ? 0 : static_cast<Index>(document.text.size());
    info.error = std::move(document.error);
    note_place(document.where);
    if (info.error.empty()) info.error = gather(document);
    if (!info.error.empty()) return;
    spool_.write(ids_);
    info.length = static_cast<Index>(ids_.size());
  }

  Corpus finish() {
    RR_CHECK_INPUT(!corpus_.documents.empty(), "the input holds no documents");
    spool_.finish();
    corpus_.tokens = spool_.tokens();
    return std::move(corpus_);
  }

 private:
  // Remembers where the last document is, and refuses it if its id was seen before.
  void note_place(const std::string& where) {
    places_.push_back(where);
    const std::size_t last = places_.size() - 1;
    const auto [earlier, is_new] = ids_seen_.insert(last);
    RR_CHECK_INPUT(is_new, "the document id \"", corpus_.documents[last].id,
                   "\" is given twice: ", places_[*earlier], " and ", where,
                   "; ids must differ, since they name the rows of the output");
  }

  // Puts the document's ids into ids_, or says why it is bad.
  std::string gather(const Document& document) {
    ids_.clear();
    if (options_.start_token >= 0) ids_.push_back(options_.start_token);
    const std::size_t begin = ids_.size();
    if (document.has_tokens) {
      ids_.insert(ids_.end(), document.tokens.begin(), document.tokens.end());
    } else {
      RR_CHECK_INPUT(tokenizer_, document.where,
                     " holds text, but there is no tokenizer; name one with --tokenizer");
      // Room at once instead of by doubling: what is never touched costs no memory.
      ids_.reserve(ids_.size() + document.text.size() / 2 + 2);
      tokenizer_->encode(document.text, ids_);
    }
    for (std::size_t at = begin; at < ids_.size(); ++at) {
      if (ids_[at] < 0 || ids_[at] >= options_.vocab) [[unlikely]] {
        return concat("token id ", ids_[at], " at position ", at - begin,
                      " (from 0) is outside the model's vocabulary of ", options_.vocab,
                      "; use the model's own tokenizer");
      }
    }
    const bool has_tokens = ids_.size() > begin || options_.end_token >= 0;
    if (!has_tokens) return "document has no tokens";
    if (options_.end_token >= 0) ids_.push_back(options_.end_token);
    return "";
  }

  struct HashId {
    const Corpus* corpus;
    std::size_t operator()(std::size_t at) const {
      return std::hash<std::string>()(corpus->documents[at].id);
    }
  };
  struct SameId {
    const Corpus* corpus;
    bool operator()(std::size_t a, std::size_t b) const {
      return corpus->documents[a].id == corpus->documents[b].id;
    }
  };

  const Tokenizer* tokenizer_;
  const CorpusOptions& options_;
  SpoolWriter spool_;
  Corpus corpus_;
  std::vector<std::string> places_;  // of each document
  std::unordered_set<std::size_t, HashId, SameId> ids_seen_{16, HashId{&corpus_}, SameId{&corpus_}};
  std::vector<TokenId> ids_;  // of the document at hand
};

void check_options(const CorpusOptions& options) {
  RR_CHECK(options.vocab > 0, "the vocabulary size is ", options.vocab);
  const auto check = [&](const char* which, TokenId id) {
    RR_CHECK_INPUT(id >= -1 && id < options.vocab, "the ", which, " token ", id,
                   " is outside the model's vocabulary of ", options.vocab);
  };
  check("start", options.start_token);
  check("end", options.end_token);
}

}  // namespace

Corpus read_corpus(Reader& reader, const Tokenizer* tokenizer, const CorpusOptions& options,
                   const std::string& spool_path) {
  check_options(options);
  FirstPass pass(tokenizer, options, spool_path);
  Document document;
  try {
    while (reader.next(document)) pass.add(document);
  } catch (const std::bad_alloc&) {
    throw Error(concat("not enough memory to read the documents; the last one begun was at or after ",
                       document.where.empty() ? "the start of the input" : document.where));
  }
  return pass.finish();
}

TokenSpool::TokenSpool(const std::string& path, Index tokens) : file_(path), tokens_(tokens) {
  RR_CHECK(static_cast<Index>(file_.bytes().size()) == tokens * Index{sizeof(TokenId)}, "the token file ",
           path, " has ", file_.bytes().size(), " bytes, not the ", tokens,
           " ids written to it; was it changed?");
}

std::span<const TokenId> TokenSpool::ids(Index first, Index count) const {
  RR_CHECK(first >= 0 && count >= 0 && first <= tokens_ && count <= tokens_ - first, "ids [", first, ", +",
           count, ") are outside the token file of ", tokens_);
  const auto* const all = reinterpret_cast<const TokenId*>(file_.bytes().data());
  return {all + first, static_cast<std::size_t>(count)};
}

}  // namespace riverrun::text
