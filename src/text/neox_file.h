// A tokenizer.json of the GPT-NeoX 20B kind, checked and taken apart.
//
// The kind: byte-level BPE without unknown tokens, normaliser NFC, pre-tokenizer ByteLevel with its own
// pattern and no space put in front, decoder ByteLevel, nothing that adds, cuts or pads tokens. Tokens of the
// vocabulary are written in the byte alphabet of GPT-2: printable bytes as themselves, the others as U+0100
// and on.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/bpe.h"

namespace riverrun::text {

struct NeoxVocabulary {
  struct AddedToken {
    std::string text;
    TokenId id;
    bool special;     // stands for no text when decoded
    bool normalized;  // looked for after normalisation, not before
  };
  std::vector<std::string> tokens;  // the bytes of each id; what an added token spells; ids have no gaps
  std::vector<AddedToken> added;
  std::vector<Bpe::Merge> merges;
  std::array<TokenId, 256> bytes;  // the token of each byte; Bpe::kNoToken for bytes that UTF-8 never has
};

// `name` is for messages. Throws InputError that names the member at fault: not JSON, of another kind, an
// option that is not understood, ids with gaps or given twice, a merge of what is no token, a byte of UTF-8
// without a token.
NeoxVocabulary parse_neox_file(std::string_view file, const std::string& name);

// The "type" of the "model" in a tokenizer.json: "BPE", "WordLevel", ...; InputError when it is not JSON,
// empty when it does not say.
std::string tokenizer_json_model(std::string_view file, const std::string& name);

}  // namespace riverrun::text
