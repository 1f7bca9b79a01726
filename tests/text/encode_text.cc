// encode_text TOKENIZER: token ids of texts, for comparisons with other implementations (compare_neox.py).
//
// Standard input: texts, each with its number of bytes before it (8 bytes, the machine's order). Standard
// output: for each the number of ids (8 bytes) and the ids (4 bytes each). The time spent in encode goes to
// standard error at the end.
#include <chrono>
#include <cstdio>
#include <iostream>

#include "core/error.h"
#include "text/tokenizer.h"

int main(int argc, char** argv) {
  using Clock = std::chrono::steady_clock;
  using namespace riverrun;
  try {
    RR_CHECK_INPUT(argc == 2, "usage: encode_text TOKENIZER");
    const auto begin = Clock::now();
    const auto tokenizer = text::load_tokenizer(argv[1]);
    const std::chrono::duration<double> loading = Clock::now() - begin;
    std::chrono::duration<double> encoding{};
    std::string text;
    std::vector<TokenId> ids;
    double bytes = 0;
    for (std::uint64_t size = 0; std::cin.read(reinterpret_cast<char*>(&size), sizeof size);) {
      text.resize(size);
      RR_CHECK_INPUT(std::cin.read(text.data(), static_cast<std::streamsize>(size)),
                     "the input ends inside a text");
      ids.clear();
      const auto start = Clock::now();
      tokenizer->encode(text, ids);
      encoding += Clock::now() - start;
      bytes += static_cast<double>(size);
      const std::uint64_t count = ids.size();
      std::cout.write(reinterpret_cast<const char*>(&count), sizeof count);
      std::cout.write(reinterpret_cast<const char*>(ids.data()),
                      static_cast<std::streamsize>(count * sizeof(TokenId)));
    }
    std::cout.flush();
    RR_CHECK(std::cout.good(), "cannot write the ids");
    std::fprintf(stderr, "loaded in %.3f s; %.1f MB in %.3f s: %.1f MB/s\n", loading.count(), bytes / 1e6,
                 encoding.count(), bytes / 1e6 / encoding.count());
    return 0;
  } catch (const Error& error) {
    std::fprintf(stderr, "encode_text: %s\n", error.what());
    return static_cast<int>(error.code());
  }
}
