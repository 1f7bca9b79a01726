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

  virtual const char* name() const = 0;  // "rwkv-world", "gpt-neox"

  // Appends the ids of `text`, which is a whole document: the ids of a text are not those of its parts. Any bytes can
  // be encoded, UTF-8 or not.
  //   World: nothing is normalised, and text that spells a special token is ordinary text.
  //   GPT-NeoX: what is not UTF-8 counts as U+FFFD; the text is brought into normalisation form C; text that spells an
  //   added token (<|endoftext|>, runs of spaces) becomes that token.
  virtual void encode(std::string_view text, std::vector<TokenId>& out) const = 0;

  // The bytes of `ids`, one after the other: decode(encode(x)) == x for World. For GPT-NeoX it is what encode makes of
  // x as said above, less the special tokens. Those, and id 0, end of document, stand for no bytes. A token may end inside a UTF-8 character, so a part of a sequence may decode to bytes that are not
  // UTF-8. Throws InputError for an id that has no token.
  virtual std::string decode(std::span<const TokenId> ids) const = 0;

  // Ids are below this. A model's embedding may have more rows (65,536 for World).
  virtual Index vocab_size() const = 0;
};

// What each id below `vocab` decodes to; empty for ids that stand for no bytes or have no token.
std::vector<std::string> token_bytes(const Tokenizer& tokenizer, Index vocab);

// Loads a vocabulary file, whose kind is recognised by its content, whatever its name. Throws InputError when
// it cannot be read, is of no known kind, or is damaged (naming the line).
std::unique_ptr<Tokenizer> load_tokenizer(const std::string& path);

// Makers of the formats load_tokenizer knows; `name` is for messages.
std::unique_ptr<Tokenizer> make_world_tokenizer(std::string_view file, const std::string& name);
std::unique_ptr<Tokenizer> make_neox_tokenizer(std::string_view file, const std::string& name);

// The World tokenizer from the token list of a GGUF file (world_vocabulary.h).
std::unique_ptr<Tokenizer> make_gguf_world_tokenizer(std::span<const std::string> tokens, const std::string& name);

}  // namespace riverrun::text
