// Vocabularies of both kinds. Whatever a file makes of itself, any text can be encoded, and World gives it back.
#include <vector>

#include "tests/fuzz/fuzz.h"
#include "text/tokenizer.h"

using namespace riverrun;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view file = fuzz::text_of(data, size);
  try {
    const auto tokenizer = FUZZ_TOKENIZER(file, "vocabulary");
    for (const std::string_view text : {file.substr(0, 4096), std::string_view("The river, Fl\xc3\xbcsse \xff\n\n 12  ")}) {
      std::vector<TokenId> ids;
      tokenizer->encode(text, ids);
      for (const TokenId id : ids) fuzz::must(id >= 0 && id < tokenizer->vocab_size(), "ids are of the vocabulary");
      const std::string back = tokenizer->decode(ids);
      if (std::string_view(tokenizer->name()) == "rwkv-world") fuzz::must(back == text, "decode(encode(x)) == x");
    }
  } catch (const InputError&) {
    return 0;
  }
  return 0;
}
