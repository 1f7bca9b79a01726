// First pass: rank 0 reads and tokenises the whole input, so that every shape is known before anything is computed.
#pragma once

#include <string>

#include "jobs/options.h"
#include "text/corpus.h"
#include "text/tokenizer.h"

namespace riverrun::jobs {

struct InputOptions {
  std::string model, input, tokenizer;  // tokenizer: as --tokenizer says, may be empty
  std::string spool_path;
  std::string start_token, end_token;   // as the options say
  TokenId auto_start_token = -1, auto_end_token = -1;  // for text, where the options say "auto"
  bool keep_invalid_utf8 = false;
  Index vocab = 0;
  int threads = 1;  // that tokenise
  const text::Tokenizer* loaded = nullptr;  // the one that open_tokenizer() gives, where the job has it already
  Shard shard;  // InputError when no document falls to it
};

struct FirstPass {
  text::Corpus corpus;
  std::string tokenizer;  // its name, or "none" when all documents gave their tokens
  TokenId start_token = -1, end_token = -1;
};

// The tokenizer that goes with a model; says which and why in the log. InputError when there is none.
std::unique_ptr<text::Tokenizer> open_tokenizer(const std::string& model, const std::string& tokenizer, Index vocab);

FirstPass read_input(const InputOptions& options);

}  // namespace riverrun::jobs
