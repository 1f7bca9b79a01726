// Tokenizer: text to token ids and back.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/types.h"

namespace riverrun::text {

// Immutable after loading; every member may be called from several threads at once.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  virtual const char* name() const = 0;  // "rwkv-world"

  // Appends the ids of `text`. Any bytes can be encoded, UTF-8 or not; nothing is normalised, and text that
  // spells a special token is ordinary text.
  virtual void encode(std::string_view text, std::vector<TokenId>& out) const = 0;

  // The bytes of `ids`, one after the other: decode(encode(x)) == x. Id 0, end of document, stands for no
  // bytes. A token may end inside a UTF-8 character, so a part of a sequence may decode to bytes that are not
  // UTF-8. Throws InputError for an id that has no token.
  virtual std::string decode(std::span<const TokenId> ids) const = 0;

  // Ids are below this. A model's embedding may have more rows (65,536 for World).
  virtual Index vocab_size() const = 0;
};

// Loads a vocabulary file, whose kind is recognised by its content, whatever its name. Throws InputError when
// it cannot be read, is of no known kind, or is damaged (naming the line).
std::unique_ptr<Tokenizer> load_tokenizer(const std::string& path);

// The vocabulary file to use, in this order:
//   1. `explicit_path` (--tokenizer), if not empty;
//   2. the environment variable RIVERRUN_VOCAB, if set and not empty;
//   3. rwkv_vocab_v20230424.txt beside the model: in `model_path` itself when that is a directory;
//   4. data/rwkv_vocab_v20230424.txt of the source tree this program was built from.
// What 1 or 2 name must exist; it is never passed over. Throws InputError saying where it looked.
std::string find_tokenizer(const std::string& model_path, const std::string& explicit_path);

// Makers of the formats load_tokenizer knows; `name` is for messages.
std::unique_ptr<Tokenizer> make_world_tokenizer(std::string_view file, const std::string& name);

}  // namespace riverrun::text
