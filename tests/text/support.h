// What the tests of this folder share: scratch folders, files, a small vocabulary, and checks of error texts.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "core/error.h"
#include "text/reader.h"
#include "text/tokenizer.h"

namespace riverrun::text {

// A new folder under the system's temporary one, removed at the end of the test.
class Scratch {
 public:
  Scratch() {
    std::string name = (std::filesystem::temp_directory_path() / "riverrun_text_XXXXXX").string();
    if (!::mkdtemp(name.data())) throw Error(with_errno("cannot make " + name));
    root_ = name;
  }
  ~Scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(root_, ignored);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  std::string path(const std::string& name) const { return (root_ / name).string(); }
  std::string path() const { return root_.string(); }

  // Writes a file, with the folders above it, and returns its path.
  std::string file(const std::string& name, const std::string& content) const {
    std::filesystem::create_directories((root_ / name).parent_path());
    std::ofstream out(root_ / name, std::ios::binary);
    out << content;
    out.close();
    EXPECT_TRUE(out) << name;
    return path(name);
  }

 private:
  std::filesystem::path root_;
};

inline std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in) << path;
  return {std::istreambuf_iterator<char>(in), {}};
}

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
