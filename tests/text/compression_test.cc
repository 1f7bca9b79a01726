// Compressed inputs: the same documents as without, and nothing cut or damaged passes for whole.
#include <zlib.h>
#include <zstd.h>

#include <random>

#include "tests/text/support.h"
#include "text/byte_stream.h"

namespace riverrun::text {
namespace {

std::string gzip(const std::string& plain) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 6, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(deflateBound(&stream, plain.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(plain.data()));
  stream.avail_in = static_cast<uInt>(plain.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string zstd(const std::string& plain) {
  std::string out(ZSTD_compressBound(plain.size()), '\0');
  ZSTD_CCtx* const context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
  const auto size = ZSTD_compress2(context, out.data(), out.size(), plain.data(), plain.size());
  ZSTD_freeCCtx(context);
  EXPECT_FALSE(ZSTD_isError(size));
  return out.substr(0, size);
}

struct Kind {
  const char* suffix;
  std::string (*compress)(const std::string&);
};

class Compressed : public ::testing::TestWithParam<Kind> {
 protected:
  std::string packed(const std::string& plain) const { return GetParam().compress(plain); }
  std::string file(const std::string& name, const std::string& content) const {
    return scratch_.file(name + GetParam().suffix, content);
  }
  // Mixed so that it neither compresses away nor stays as it is.
  static std::string sample(std::size_t size) {
    std::mt19937 random(5);
    std::string text;
    while (text.size() < size) text += concat("word", random() % 1000, random() % 7 ? " " : "\n");
    return text.substr(0, size);
  }
  TemporaryFolder scratch_;
};

TEST_P(Compressed, TextIsTheSameAndTheSuffixIsDropped) {
  for (const std::size_t size : {0, 1, 1000, 262143, 262144, 262145, 3000000}) {
    const std::string plain = sample(size);
    const auto documents = read_all(file("book.txt", packed(plain)));
    ASSERT_EQ(documents.size(), 1u);
    EXPECT_EQ(documents[0].id, "book.txt");
    EXPECT_EQ(documents[0].text, plain);
  }
}

TEST_P(Compressed, MembersAreReadAsOneStream) {
  const std::string a = sample(1000), b = sample(400000);
  EXPECT_EQ(read_all(file("a", packed(a) + packed("") + packed(b) + packed(a))).at(0).text, a + b + a);
}

TEST_P(Compressed, EveryCutIsRefused) {
  const std::string one = packed(sample(300)), whole = one + one;
  for (std::size_t size = 0; size < whole.size(); ++size) {
    if (size == one.size()) continue;  // a whole member: nobody can tell
    const std::string path = file("cut", whole.substr(0, size));
    EXPECT_CONTAINS(message_of<InputError>([&] { read_all(path); }), path);
  }
}

TEST_P(Compressed, ACutBeyondTheFirstBufferIsRefused) {
  const std::string whole = packed(sample(3000000));
  ASSERT_GT(whole.size(), 300000u);
  for (const std::size_t missing : {std::size_t{1}, std::size_t{8}, std::size_t{9}, whole.size() - 262144}) {
    const std::string path = file("cut", whole.substr(0, whole.size() - missing));
    EXPECT_CONTAINS(message_of<InputError>([&] { read_all(path); }), "cut off");
  }
}

// Both formats carry checksums, so no flipped bit may go unnoticed where it matters.
TEST_P(Compressed, DamageIsNeverReadAsOtherText) {
  const std::string plain = sample(2000), whole = packed(plain);
  int refused = 0;
  for (std::size_t at = 0; at < whole.size(); ++at) {
    std::string damaged = whole;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
    const std::string path = file("damaged", damaged);
    try {
      EXPECT_EQ(read_all(path).at(0).text, plain) << at;  // a bit of the header that says nothing
    } catch (const InputError&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, static_cast<int>(whole.size()) - 12);
}

TEST_P(Compressed, WhatIsNotCompressedIsRefused) {
  for (const std::string content : {"plain text that nobody compressed", "x", ""}) {
    const std::string path = file("fake.txt", content);
    EXPECT_CONTAINS(message_of<InputError>([&] { read_all(path); }), path);
  }
}

TEST_P(Compressed, BytesAfterTheEndAreRefused) {
  EXPECT_THROW(read_all(file("a", packed("text") + "garbage")), InputError);
}

#ifdef RIVERRUN_TEST_JSON
TEST_P(Compressed, JsonLinesAreKnownThroughTheSuffix) {
  const std::string path = file("c.jsonl", packed("{\"text\": \"one\"}\n{\"text\": \"two\"}"));
  const auto documents = read_all(path);
  EXPECT_EQ(ids_of(documents), (std::vector<std::string>{"c.jsonl:1", "c.jsonl:2"}));
  EXPECT_EQ(documents.at(1).where, path + " line 2");
  EXPECT_EQ(ids_of(read_all(scratch_.path())), ids_of(documents)) << "in a directory too";
}
#endif

INSTANTIATE_TEST_SUITE_P(Kinds, Compressed, ::testing::Values(Kind{".gz", gzip}, Kind{".zst", zstd}),
                         [](const auto& kind) { return std::string(kind.param.suffix + 1); });

TEST(Gzip, ZerosThatPadTheEndArePassedOver) {
  const TemporaryFolder scratch;
  const std::string padded = gzip("text") + std::string(300000, '\0');
  EXPECT_EQ(read_all(scratch.file("a.gz", padded)).at(0).text, "text");
  EXPECT_THROW(read_all(scratch.file("b.gz", padded + gzip("more"))), InputError);
}

TEST(Zstd, SkippableFramesArePassedOver) {
  const TemporaryFolder scratch;
  const std::string skippable("\x50\x2a\x4d\x18\x03\x00\x00\x00zzz", 11);
  EXPECT_EQ(read_all(scratch.file("a.zst", skippable + zstd("one") + skippable + zstd("two"))).at(0).text,
            "onetwo");
}

TEST(CompressionSuffix, IsStrippedOnceAndOnlyAtTheEnd) {
  EXPECT_EQ(without_compression("a.jsonl.gz"), "a.jsonl");
  EXPECT_EQ(without_compression("a.gz.zst"), "a.gz");
  EXPECT_EQ(without_compression("a.gz.txt"), "a.gz.txt");
  EXPECT_EQ(without_compression("agz"), "agz");
}

}  // namespace
}  // namespace riverrun::text
