#include "text/corpus.h"

#include <exception>
#include <future>
#include <new>
#include <unordered_set>

#include "core/error.h"
#include "core/thread_pool.h"
#include "text/spool_writer.h"

namespace riverrun::text {
namespace {

// A document on its way through the first pass.
struct Work {
  Document document;
  std::vector<TokenId> ids;  // start and end token included
};

// Documents that are read together and tokenised together: enough to keep threads busy, few enough to hold in memory.
struct Batch {
  static constexpr Index kBytes = Index{4} << 20;
  static constexpr std::size_t kDocuments = 4096;

  std::vector<Work> works;  // the first `count` count; the others keep their memory
  std::size_t count = 0;
  std::string where;  // of the last document begun
  bool last = false;  // no document follows
  std::exception_ptr error;  // of the reader, behind the last document

  void read(Reader& reader) {
    count = 0;
    try {
      read_documents(reader);
    } catch (...) {
      error = std::current_exception();
      last = true;
    }
  }

 private:
  void read_documents(Reader& reader) {
    for (Index bytes = 0; bytes < kBytes && count < kDocuments; ++count) {
      if (works.size() == count) works.emplace_back();
      Document& document = works[count].document;
      if (last = !reader.next(document); last) return;
      where = document.where;
      bytes += static_cast<Index>(document.text.size() + document.tokens.size() * sizeof(TokenId));
    }
  }
};

// The first pass itself; one object per call of read_corpus.
class FirstPass {
 public:
  FirstPass(const Tokenizer* tokenizer, const CorpusOptions& options, const std::string& spool_path)
      : tokenizer_(tokenizer), options_(options), spool_(spool_path) {}

  // Puts the document's ids together, or says why it is bad. For several documents at once.
  void prepare(Work& work) const {
    if (work.document.error.empty()) work.document.error = gather(work.document, work.ids);
  }

  // Takes the documents in their order.
  void add(Work& work) {
    Document& document = work.document;
    DocumentInfo& info = corpus_.documents.emplace_back();
    info.id = std::move(document.id);
    info.first = spool_.tokens();
    info.bytes = document.has_tokens ? 0 : static_cast<Index>(document.text.size());
    info.error = std::move(document.error);
    note_place(document.where);
    if (!info.error.empty()) return;
    spool_.write(work.ids);
    info.length = static_cast<Index>(work.ids.size());
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

  std::string gather(const Document& document, std::vector<TokenId>& ids) const {
    ids.clear();
    if (options_.start_token >= 0) ids.push_back(options_.start_token);
    const std::size_t begin = ids.size();
    if (document.has_tokens) {
      ids.insert(ids.end(), document.tokens.begin(), document.tokens.end());
    } else {
      RR_CHECK_INPUT(tokenizer_, document.where,
                     " holds text, but there is no tokenizer; name one with --tokenizer");
      // Room at once instead of by doubling: what is never touched costs no memory.
      ids.reserve(ids.size() + document.text.size() / 2 + 2);
      tokenizer_->encode(document.text, ids);
    }
    for (std::size_t at = begin; at < ids.size(); ++at) {
      if (ids[at] < 0 || ids[at] >= options_.vocab) [[unlikely]] {
        return concat("token id ", ids[at], " at position ", at - begin,
                      " (from 0) is outside the model's vocabulary of ", options_.vocab,
                      "; use the model's own tokenizer");
      }
    }
    const bool has_tokens = ids.size() > begin || options_.end_token >= 0;
    if (!has_tokens) return "document has no tokens";
    if (options_.end_token >= 0) ids.push_back(options_.end_token);
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

// One batch is read while the one before it is tokenised. What is wrong first is told first.
void read_all(Reader& reader, FirstPass& pass, int threads, Batch& now) {
  ThreadPool pool(threads);
  Batch next;
  now.read(reader);
  for (;; std::swap(now, next)) {
    const auto policy = threads > 1 ? std::launch::async : std::launch::deferred;
    auto reading = std::async(policy, [&] {
      if (!now.last) next.read(reader);
    });
    pool.run(static_cast<Index>(now.count), [&](Index at, int) { pass.prepare(now.works[at]); });
    for (std::size_t at = 0; at < now.count; ++at) pass.add(now.works[at]);
    if (now.error) std::rethrow_exception(now.error);
    if (now.last) return;
    reading.get();
  }
}

}  // namespace

Corpus read_corpus(Reader& reader, const Tokenizer* tokenizer, const CorpusOptions& options,
                   const std::string& spool_path) {
  check_options(options);
  FirstPass pass(tokenizer, options, spool_path);
  Batch batch;
  try {
    read_all(reader, pass, options.threads, batch);
  } catch (const std::bad_alloc&) {
    throw Error(concat("not enough memory to read the documents; the last one begun was at or after ",
                       batch.where.empty() ? "the start of the input" : batch.where));
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
