// JSON Lines: what is read, and that whatever is not exactly right refuses the run with file and line.
#include <nlohmann/json.hpp>
#include <random>

#include "tests/text/support.h"

namespace riverrun::text {
namespace {

using Names = std::vector<std::string>;

std::vector<Document> read_lines(const std::string& content) {
  const TemporaryFolder scratch;
  return read_all(scratch.file("c.jsonl", content));
}

TEST(JsonLines, ReadsTextTokensAndIds) {
  const TemporaryFolder scratch;
  const std::string path = scratch.file(
      "c.jsonl",
      "{\"text\": \"one \\u00e9\\n\\ud83d\\ude00\\u0000\", \"id\": \"first\"}\n"
      "\n  \t\r\n"
      "{\"tokens\": [1, -2, 2147483647, -2147483648]}\r\n"
      "{\"id\": 42, \"meta\": {\"a\": [1.5e3, null, {\"b\": [true, false, \"x\"]}]}, \"text\": \"\"}\n"
      " { \"\\u0074ext\" : \"escaped key\" , \"id\" : -7 } \n"
      "{\"tokens\":[],\"id\":18446744073709551615}");
  const auto documents = read_all(path);
  ASSERT_EQ(ids_of(documents), (Names{"first", "c.jsonl:4", "42", "-7", "18446744073709551615"}));
  EXPECT_EQ(documents[0].text, std::string("one \xc3\xa9\n\xf0\x9f\x98\x80\0", 12));
  EXPECT_FALSE(documents[0].has_tokens);
  EXPECT_TRUE(documents[1].has_tokens);
  EXPECT_EQ(documents[1].tokens, (std::vector<TokenId>{1, -2, 2147483647, -2147483647 - 1}));
  EXPECT_EQ(documents[1].text, "");
  EXPECT_EQ(documents[1].where, path + " line 4");
  EXPECT_EQ(documents[2].text, "");
  EXPECT_FALSE(documents[2].has_tokens);
  EXPECT_TRUE(documents[2].tokens.empty()) << "nothing is left over from the line before";
  EXPECT_EQ(documents[3].text, "escaped key");
  EXPECT_TRUE(documents[4].has_tokens);
  EXPECT_EQ(documents[4].where, path + " line 7");
}

TEST(JsonLines, AFileWithoutLinesHasNoDocuments) {
  EXPECT_EQ(read_lines("").size(), 0u);
  EXPECT_EQ(read_lines("\n\n \n").size(), 0u);
  EXPECT_EQ(read_lines("\xef\xbb\xbf").size(), 0u);
}

TEST(JsonLines, ByteOrderMarkIsDroppedAtTheStartOnly) {
  EXPECT_EQ(read_lines("\xef\xbb\xbf{\"text\": \"a\"}\n").at(0).text, "a");
  EXPECT_THROW(read_lines("{\"text\": \"a\"}\n\xef\xbb\xbf{\"text\": \"a\"}\n"), InputError);
}

// Lines of every length about the size of a read, so that they are cut at every place by the buffer's end.
TEST(JsonLines, LinesMayLieAnywhereInTheBufferAndOutgrowIt) {
  std::string content;
  std::vector<std::string> texts;
  for (const Index size : {0, 1, 1000, 262100, 262143, 262144, 262145, 100, 700000, 3, 2000000}) {
    texts.emplace_back(size, static_cast<char>('a' + texts.size()));
    content += "{\"text\": \"" + texts.back() + "\"}\n";
  }
  for (Index i = 0; i < 20000; ++i) {
    texts.push_back(concat("short ", i));
    content += "{\"text\": \"" + texts.back() + "\"}\n";
  }
  const auto documents = read_lines(content);
  ASSERT_EQ(documents.size(), texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) ASSERT_EQ(documents[i].text, texts[i]) << i;
}

TEST(JsonLines, EachFileOfADirectoryGivesItsLines) {
  const TemporaryFolder scratch;
  scratch.file("a.txt", "text");
  scratch.file("b/c.jsonl", "{\"text\": \"1\"}\n{\"text\": \"2\", \"id\": \"two\"}");
  scratch.file("b/d.jsonl", "");
  scratch.file("e.txt", "more");
  const auto documents = read_all(scratch.path());
  EXPECT_EQ(ids_of(documents), (Names{"a.txt", "b/c.jsonl:1", "two", "e.txt"}));
  EXPECT_FALSE(documents.at(3).has_tokens);
}

struct BadLine {
  const char* line;
  const char* reason;
};

TEST(JsonLines, BadLinesRefuseTheRunByFileAndLine) {
  const std::string deep = "{\"text\": \"a\", \"x\": " + std::string(300, '[') + std::string(300, ']') + "}";
  const std::string deepest =
      "{\"text\": \"a\", \"x\": " + std::string(200000, '[') + std::string(200000, ']') + "}";
  const BadLine bad[] = {
      {"[1, 2]", "not a JSON object"},
      {"\"text\"", "not a JSON object"},
      {"17", "not a JSON object"},
      {"null", "not a JSON object"},
      {"{}", "neither"},
      {"{\"id\": \"a\"}", "neither"},
      {"{\"Text\": \"a\"}", "neither"},
      {"{\"text\": \"a\", \"tokens\": [1]}", "both"},
      {"{\"text\": \"a\", \"text\": \"b\"}", "twice"},
      {"{\"tokens\": [1], \"tokens\": [1]}", "twice"},
      {"{\"id\": 1, \"text\": \"b\", \"id\": 1}", "twice"},
      {"{\"text\": null}", "not a string"},
      {"{\"text\": 5}", "not a string"},
      {"{\"text\": [\"a\"]}", "not a string"},
      {"{\"tokens\": 5}", "not an array"},
      {"{\"tokens\": \"1 2\"}", "not an array"},
      {"{\"tokens\": [1, \"2\"]}", "not an integer"},
      {"{\"tokens\": [1, null]}", "not an integer"},
      {"{\"tokens\": [[1]]}", "not an integer"},
      {"{\"tokens\": [1.0]}", "32 bits"},
      {"{\"tokens\": [1e2]}", "32 bits"},
      {"{\"tokens\": [2147483648]}", "32 bits"},
      {"{\"tokens\": [-2147483649]}", "32 bits"},
      {"{\"tokens\": [99999999999999999999]}", "32 bits"},
      {"{\"text\": \"a\", \"id\": 1.5}", "integer"},
      {"{\"text\": \"a\", \"id\": null}", "integer"},
      {"{\"text\": \"a\", \"id\": [1]}", "integer"},
      {"{\"text\": \"a\", \"id\": \"\"}", "empty"},
      {"{\"text\": \"a\", \"id\": \"x\\u0000y\"}", "NUL"},
      {"{\"text\": \"\xff\"}", "UTF-8"},
      {"{\"text\": \"\xed\xa0\x80\"}", "UTF-8"},
      {"{\"text\": \"a\"} {\"text\": \"b\"}", "follows"},
      {"{\"text\": \"a\"}}", "JSON"},
      {"{\"text\": \"a\"} x", "JSON"},
      {"{\"text\": \"a\",}", "JSON"},
      {"{\"text\": \"a\"", "JSON"},
      {"{\"text\": \"a", "JSON"},
      {"{\"text\" \"a\"}", "JSON"},
      {"{text: \"a\"}", "JSON"},
      {"{'text': 'a'}", "JSON"},
      {"{\"text\": \"\\q\"}", "JSON"},
      {"{\"text\": \"\\ud800\"}", "JSON"},
      {"{\"text\": \"tab\there\"}", "JSON"},
      {"{\"tokens\": [1,]}", "JSON"},
      {"{\"tokens\": [1 2]}", "JSON"},
      {"{\"tokens\": [01]}", "bits"},
      {"{\"tokens\": [1}", "JSON"},
      {"{\"text\": \"a\", \"x\": nul}", "JSON"},
      {"{\"text\": \"a\", \"x\": tru}", "JSON"},
      {"{\"text\": \"a\", \"x\": [1, }", "JSON"},
      {"{\"text\": \"a\", \"x\": {\"y\" 1}}", "JSON"},
      {"{\"text\": \"a\", \"x\": 1.}", "JSON"},
      {"{\"text\": \"a\", \"x\": \"\\q\"}", "JSON"},
      {"{\"text\": \"a\", \"x\": }", "JSON"},
      {"\x01", "JSON"},
      {deep.c_str(), "nested"},
      {deepest.c_str(), "nested"},
  };
  const TemporaryFolder scratch;
  for (const BadLine& example : bad) {
    const std::string path = scratch.file(
        "bad.jsonl", concat("{\"text\": \"good\"}\n\n", example.line, "\n{\"text\": \"good\"}\n"));
    const std::string message = message_of<InputError>([&] { read_all(path); });
    EXPECT_CONTAINS(message, path + " line 3:");
    EXPECT_CONTAINS(message, example.reason);
  }
}

TEST(JsonLines, ANulByteIsNotWhiteSpace) {
  EXPECT_THROW(read_lines(std::string("{\"text\": \"a\"}\0\n", 15)), InputError);
  EXPECT_THROW(read_lines(std::string("\0\n", 2)), InputError);
}

// A last line that was cut must not be completed by bytes that happen to follow it in the buffer.
TEST(JsonLines, EveryCutOfALineIsRefused) {
  const std::string line = "{\"id\": 1, \"x\": [1, {\"y\": true}], \"text\": \"abc\"}";
  for (std::size_t size = 1; size < line.size(); ++size) {
    EXPECT_THROW(read_lines(line + "\n" + line.substr(0, size)), InputError) << line.substr(0, size);
    EXPECT_THROW(read_lines(line.substr(0, size) + "\n" + line.substr(size)), InputError)
        << line.substr(0, size);
  }
}

// Randomly damaged lines: accepted exactly when another strict parser accepts them, with the same content.
TEST(JsonLines, AgreesWithAnotherParserOnDamagedLines) {
  const std::string good[] = {
      "{\"id\": \"a\", \"text\": \"b\\u00e9\\n\", \"x\": [1, -2.5e3, {\"y\": null}, [], {}], \"z\": false}",
      "{\"text\": \"\xc3\xa9\\ud83d\\ude00\\\\\", \"n\": 0.1, \"m\": [[], [true], \"\\\"\"]}",
      "{\"tokens\": [1, 23, -456, 0, 7], \"id\": 12}"};
  const std::string alphabet = "{}[]\",:\\0123456789.eE+-truefalsn \t\xc3\xa9u";
  std::mt19937 random(4);
  const TemporaryFolder scratch;
  int accepted = 0, refused = 0;
  for (int round = 0; round < 6000; ++round) {
    std::string line = good[random() % 3];
    for (std::uint32_t i = 0, edits = 1 + random() % 3; i < edits; ++i) {
      const std::size_t at = random() % line.size();
      const char c = alphabet[random() % alphabet.size()];
      if (const auto kind = random() % 3; kind == 0)
        line[at] = c;
      else if (kind == 1)
        line.insert(at, 1, c);
      else
        line.erase(at, 1);
    }
    const auto other = nlohmann::json::parse(line, nullptr, false);
    const std::string path = scratch.file("c.jsonl", line);
    try {
      const auto documents = read_all(path);
      ASSERT_EQ(documents.size(), 1u);
      ASSERT_FALSE(other.is_discarded()) << line;
      ASSERT_EQ(other.contains("tokens"), documents[0].has_tokens) << line;
      if (documents[0].has_tokens) {
        ASSERT_EQ(documents[0].tokens, other.at("tokens").get<std::vector<TokenId>>()) << line;
      } else {
        ASSERT_EQ(documents[0].text, other.at("text").get<std::string>()) << line;
      }
      ++accepted;
    } catch (const InputError& error) {
      const std::string message = error.what();
      const bool syntax =
          message.find("JSON") != std::string::npos || message.find("UTF-8") != std::string::npos;
      ASSERT_TRUE(!syntax || other.is_discarded() || !other.is_object()) << line << "\n" << message;
      ++refused;
    }
  }
  EXPECT_GT(accepted, 300);
  EXPECT_GT(refused, 300);
}

}  // namespace
}  // namespace riverrun::text
