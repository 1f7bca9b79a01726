// Which tokenizer goes with a model.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "text/tokenizer.h"

namespace riverrun::text {

struct TokenizerRequest {
  std::string model_path;                      // a file or a directory; may be empty
  std::string explicit_path;                   // --tokenizer; may be empty
  std::span<const std::string> embedded = {};  // the token list inside the model file (GGUF); empty: none
  std::string embedded_kind = {};              // what the file calls it: "rwkv"
  Index rows = 0;                              // of the model's embedding
};

struct TokenizerChoice {
  std::unique_ptr<Tokenizer> tokenizer;
  std::string source;  // the file it was read from
  std::string why;     // "beside the model", "RIVERRUN_VOCAB", ..., and what was passed over
};

// The first of these:
//   1. the file `explicit_path`, if not empty;
//   2. the file that the environment variable RIVERRUN_VOCAB names, if set and not empty;
//   3. beside the model (in `model_path` itself when that is a directory): rwkv_vocab_v20230424.txt,
//   20B_tokenizer.json,
//      tokenizer.json, the first of them that fits the model: it has no more ids than the model has rows, and
//      at most 511 fewer (rows are filled up to a round number);
//   4. `embedded`;
//   5. by `rows` alone, in data/ of the source tree this program was built from: 65,530 to 65,536 is
//      rwkv_vocab_v20230424.txt, 50,277 to 50,304 is 20B_tokenizer.json.
// The tokenizer.json that converters put beside World models (WordLevel, RwkvTrie) is another form of the
// World vocabulary, not always the same one: it is passed over. Any other tokenizer.json beside the model
// that cannot be read is an error, since the model was made for it.
//
// Throws InputError when what 1 or 2 name is no vocabulary, when 1, 2 or 4 has more ids than the model has
// rows, and when there is nothing: it then says what was looked for and why each was passed over.
TokenizerChoice choose_tokenizer(const TokenizerRequest& request);

}  // namespace riverrun::text
