// JSON Lines: a document is what reader.h says it is, or the file is refused.
#include "text/json_lines.h"

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/memory_stream.h"
#include "text/utf8.h"

using namespace riverrun;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const auto reader = text::make_json_lines(std::make_unique<fuzz::MemoryStream>(fuzz::text_of(data, size)), "corpus.jsonl", "corpus.jsonl");
    text::Document document;
    while (reader->next(document)) {
      fuzz::must(!document.id.empty() && static_cast<Index>(document.id.size()) <= text::kMaxIdBytes && text::find_invalid_utf8(document.id) < 0 &&
                     document.id.find('\0') == std::string::npos,
                 "an id is fit to name a document");
      fuzz::must(text::find_invalid_utf8(document.text) < 0, "the text is UTF-8");
      fuzz::must(document.text.size() + document.tokens.size() <= 3 * size, "a document is no larger than its line");
    }
  } catch (const InputError&) {
    return 0;
  }
  return 0;
}
