// gzip and Zstandard. The output is not bounded by the input, so reading stops after a while.
#include <vector>

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/memory_stream.h"

using namespace riverrun;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes = fuzz::text_of(data, size);
  auto compressed = std::make_unique<fuzz::MemoryStream>(bytes);
  static std::vector<char> out(4096);
  try {
    const auto stream = bytes.starts_with("\x1f\x8b") ? text::make_gzip_stream(std::move(compressed), "input.gz")
                                                      : text::make_zstd_stream(std::move(compressed), "input.zst");
    for (Index total = 0; total < Index{1} << 20;) {
      const Index got = stream->read(out.data(), std::ssize(out));
      fuzz::must(got >= 0 && got <= std::ssize(out), "no more is read than asked for");
      if (got == 0) break;
      total += got;
    }
  } catch (const InputError&) {
    return 0;
  }
  return 0;
}
