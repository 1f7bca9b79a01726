// The vocabulary file of the RWKV World tokenizer: its lines, as ids and bytes.
//
//   ID SPACE LITERAL SPACE BYTES END-OF-LINE     e.g.  259 '\t ' 2    or   129 b'\x80' 1
//
// LITERAL is a Python literal and may hold spaces: a str in '...' or "..." stands for its UTF-8 ('\x80' is a
// code point, so two bytes), b'...' for bytes. BYTES is the length meant, which guards against every
// misreading. Line ends are LF or CRLF; the last may be missing. Id 0 (end of document) is not in the file.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/types.h"

namespace riverrun::text {

struct WorldVocabulary {
  // token[id] are the bytes of that id, empty for an id without a token (0, and gaps).
  std::vector<std::string> tokens;
};

// `name` is for messages. Throws InputError naming the line when it is not of the form above, when its length
// is not BYTES, when an id is 0, too large or given twice, and when two ids have the same bytes; also when
// one of the 256 single bytes is missing, since text could then not be encoded.
WorldVocabulary parse_world_vocabulary(std::string_view file, const std::string& name);

// The same from the token list of a GGUF file, entry by id: each is the text of a Python bytes literal without its
// quotes (printable ASCII, and \t \n \r \\ \' \xNN). Entry 0 is a name for the end of document, and an entry n that reads
// [PADn] fills up the model's rows: neither is a token, so text that spells them is ordinary text. Throws InputError
// naming the id for anything else, two ids with the same bytes, and a missing single byte.
WorldVocabulary parse_gguf_vocabulary(std::span<const std::string> tokens, const std::string& name);

// InputError unless each of the 256 single bytes is among `tokens`, since not every text could be encoded without.
void check_single_bytes(std::span<const std::string> tokens, const std::string& name);

// Whether a file that starts with `head` looks like one: a number, a space and a quote.
bool looks_like_world_vocabulary(std::string_view head);

}  // namespace riverrun::text
