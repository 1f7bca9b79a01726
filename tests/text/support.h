// What the tests of this folder share: documents, a small vocabulary, and checks of error texts.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "tests/support/temporary_folder.h"
#include "text/reader.h"
#include "text/tokenizer.h"

namespace riverrun::text {

using test::read_file;
using test::TemporaryFolder;

inline std::vector<Document> read_all(const std::string& input, const ReaderOptions& options = {}) {
  const auto reader = open_reader(input, options);
  std::vector<Document> documents;
  Document document;
  while (reader->next(document)) documents.push_back(document);
  EXPECT_FALSE(reader->next(document)) << "the end must stay the end";
  return documents;
}

inline std::vector<std::string> ids_of(const std::vector<Document>& documents) {
  std::vector<std::string> ids;
  for (const Document& document : documents) ids.push_back(document.id);
  return ids;
}

// The message of the error that `body` throws; it must be of type Expected, and InputError only where asked
// for.
template <class Expected, class Body>
std::string message_of(Body&& body) {
  try {
    body();
  } catch (const Error& error) {
    const bool is_input = error.code() == ExitCode::bad_input;
    EXPECT_EQ(is_input, (std::is_same_v<Expected, InputError>)) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

inline std::vector<TokenId> encode(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<TokenId> ids;
  tokenizer.encode(text, ids);
  return ids;
}

// Changes some bytes of `good` and cuts some files off, 300 times: `encode_with(file)` refuses
// the file or reads it as some vocabulary, and never crashes. How many were refused.
template <class Encode>
int refused_of_300_damaged(const std::string& good, int bytes, unsigned seed, Encode encode_with) {
  std::mt19937 random(seed);
  int refused = 0;
  for (int round = 0; round < 300; ++round) {
    std::string file = good;
    for (int i = 0; i < bytes; ++i) file[random() % file.size()] = static_cast<char>(random());
    if (round % 3 == 0) file.resize(random() % file.size());
    try {
      EXPECT_FALSE(encode_with(file).empty());
    } catch (const InputError&) {
      ++refused;
    }
  }
  return refused;
}

#define EXPECT_CONTAINS(text, part) EXPECT_NE((text).find(part), std::string::npos) << "in: " << (text)

// A vocabulary in the World format: the 256 bytes as ids 1 to 256, then `words` from 257 on.
inline std::string small_vocabulary(const std::vector<std::string>& words = {}) {
  std::string lines;
  char line[64];
  for (int byte = 0; byte < 256; ++byte) {
    std::snprintf(line, sizeof line, byte < 128 ? "%d '\\x%02x' 1\n" : "%d b'\\x%02x' 1\n", byte + 1, byte);
    lines += line;
  }
  for (std::size_t i = 0; i < words.size(); ++i) {
    lines += concat(257 + i, " '", words[i], "' ", words[i].size(), "\n");
  }
  return lines;
}

// The real vocabulary, or an empty string where it was not fetched.
inline std::string real_vocabulary() {
  const char* const named = std::getenv("RIVERRUN_VOCAB");
  const std::string path =
      named && *named ? named : std::string(RIVERRUN_TEST_DATA) + "/../../data/rwkv_vocab_v20230424.txt";
  return std::filesystem::exists(path) ? path : "";
}

#define SKIP_WITHOUT_VOCABULARY()                                                                   \
  if (real_vocabulary().empty())                                                                    \
  GTEST_SKIP() << "no World vocabulary: set RIVERRUN_VOCAB, or run cluster/install_deps.sh, which " \
                  "fetches data/rwkv_vocab_v20230424.txt"

}  // namespace riverrun::text
