#include "jobs/run/first_pass.h"

#include <utility>

#include "checkpoint/checkpoint.h"
#include "core/error.h"
#include "core/log.h"
#include "core/stop.h"
#include "jobs/options.h"
#include "text/tokenizer_choice.h"

namespace riverrun::jobs {

namespace {

// Hands on another reader's documents, the first of them looked at beforehand: whether a corpus gives text or
// tokens settles the tokenizer and what "auto" means.
class WatchedReader : public text::Reader {
 public:
  explicit WatchedReader(std::unique_ptr<text::Reader> reader) : reader_(std::move(reader)) {
    any_ = reader_->next(first_);
    held_ = any_;
    tokens_ = any_ && first_.has_tokens;
  }

  bool any() const { return any_; }
  bool gives_tokens() const { return tokens_; }
  void forbid_mixing() { one_kind_ = true; }

  bool next(text::Document& document) override {
    end_reading_if_stopped();
    if (held_) {
      document = std::move(first_);
      held_ = false;
    } else if (!reader_->next(document)) {
      return false;
    }
    RR_CHECK_INPUT(!one_kind_ || document.has_tokens == tokens_ || !document.error.empty(), document.where,
                   ": the corpus mixes text and given tokens, for which --start-token auto or --end-token auto mean "
                   "different things; say --start-token none or --start-token 0, and likewise for --end-token");
    return true;
  }

  bool skip() override { return std::exchange(held_, false) || reader_->skip(); }

 private:
  std::unique_ptr<text::Reader> reader_;
  text::Document first_;
  bool tokens_ = false;  // what the first document gives, in place of text
  bool any_ = false, held_ = false, one_kind_ = false;
};

// The documents of one shard, under the ids that they have in the whole input.
class ShardReader : public text::Reader {
 public:
  ShardReader(text::Reader& whole, const Shard& shard) : whole_(whole), shard_(shard) {}

  bool next(text::Document& document) override {
    for (; at_ % shard_.count != shard_.number - 1; ++at_) {
      if (!whole_.skip()) return end();
    }
    if (!whole_.next(document)) return end();
    ++at_;
    return true;
  }

 private:
  bool end() const {
    RR_CHECK_INPUT(at_ >= shard_.number, "--shard ", shard_.number, "/", shard_.count, " is empty: the input has ", at_,
                   " documents; use at most as many shards");
    return false;
  }

  text::Reader& whole_;
  const Shard shard_;
  Index at_ = 0;  // documents of the whole input before the next one
};

}  // namespace

std::unique_ptr<text::Tokenizer> open_tokenizer(const std::string& model, const std::string& tokenizer, Index vocab) {
  // Opened for the vocabulary that may be inside; weights are not read.
  const auto file = checkpoint::open_checkpoint(model);
  const checkpoint::Extras& extras = file->extras();
  text::TokenizerChoice choice = text::choose_tokenizer({model, tokenizer, extras.vocabulary, extras.vocabulary_kind, vocab});
  log_info("tokenizer: ", choice.tokenizer->name(), " from ", choice.source, " (", choice.why, ")");
  return std::move(choice.tokenizer);
}

FirstPass read_input(const InputOptions& options) {
  FirstPass pass;
  WatchedReader reader(text::open_reader(options.input, {options.keep_invalid_utf8}));
  end_reading_if_stopped();
  RR_CHECK_INPUT(reader.any(), options.input, ": the input holds no documents");
  const bool tokens = reader.gives_tokens();

  const Index start = parse_token_option("--start-token", options.start_token);
  const Index end = parse_token_option("--end-token", options.end_token);
  if ((start == -2 && options.auto_start_token >= 0) || (end == -2 && options.auto_end_token >= 0)) reader.forbid_mixing();
  pass.start_token = static_cast<TokenId>(start != -2 ? start : tokens ? -1 : options.auto_start_token);
  pass.end_token = static_cast<TokenId>(end != -2 ? end : tokens ? -1 : options.auto_end_token);

  std::unique_ptr<text::Tokenizer> opened;
  const text::Tokenizer* tokenizer = nullptr;
  pass.tokenizer = "none";
  if (!tokens || !options.tokenizer.empty() || options.loaded != nullptr) {
    if (options.loaded == nullptr) opened = open_tokenizer(options.model, options.tokenizer, options.vocab);
    tokenizer = options.loaded != nullptr ? options.loaded : opened.get();
    pass.tokenizer = tokenizer->name();
  }
  ShardReader shard(reader, options.shard);
  pass.corpus = text::read_corpus(shard, tokenizer, {pass.start_token, pass.end_token, options.vocab, options.threads},
                                  options.spool_path);
  return pass;
}

}  // namespace riverrun::jobs
