// GGUF files as the gguf package writes them in llama.cpp's conventions give official tensors, bit for bit.
// The files and what is expected of them come from tests/golden/make_gguf.py.
#include <algorithm>
#include <map>
#include <set>

#include "support.h"

namespace riverrun::checkpoint {
namespace {

// The bytes of all elements in the file's own type.
std::string bytes_of(const Tensor& tensor) {
  std::string bytes(static_cast<std::size_t>(tensor.size() * size_of(tensor.dtype)), '\xee');
  copy_elements(tensor, bytes.data());
  return bytes;
}

std::vector<std::uint32_t> bits_of(const Tensor& tensor) {
  std::vector<std::uint32_t> bits;
  for (const float value : floats(tensor)) bits.push_back(std::bit_cast<std::uint32_t>(value));
  return bits;
}

std::size_t different(const std::vector<std::uint32_t>& a, const std::vector<std::uint32_t>& b) {
  std::size_t count = 0;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) count += a[i] != b[i];
  return count;
}

class GgufFile : public ::testing::TestWithParam<const char*> {
 protected:
  std::string path(const char* ending) const { return golden(concat("gguf/", GetParam(), ending)); }
};

TEST_P(GgufFile, HasTheOfficialTensorsBitForBit) {
  const auto expected = open_checkpoint(path(".safetensors"));
  const auto found = open_checkpoint(path(".gguf"));
  EXPECT_EQ(found->container(), "gguf");
  EXPECT_EQ(found->tensors().size(), expected->tensors().size());
  for (const auto& [name, tensor] : expected->tensors()) {
    const auto expected_bits = bits_of(tensor), bits = bits_of(found->require(name, tensor.shape));
    ASSERT_EQ(bits.size(), expected_bits.size()) << name;
    EXPECT_EQ(different(bits, expected_bits), 0u) << name << " of " << bits.size();
  }
}

// What is released must come back when touched again, and take nothing with it.
TEST_P(GgufFile, ReleasedTensorsAreReadAgain) {
  const auto file = open_checkpoint(path(".gguf"));
  for (const auto& [name, tensor] : file->tensors()) {
    const std::string before = bytes_of(tensor);
    file->release(tensor);
    EXPECT_EQ(bytes_of(tensor), before) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Files, GgufFile,
                         ::testing::Values("rwkv7-f32", "rwkv7-mixed", "rwkv6-f32", "rwkv6-mixed", "blocks"),
                         [](const auto& name) {
                           std::string text = name.param;
                           std::replace(text.begin(), text.end(), '-', '_');
                           return text;
                         });

TEST(Gguf, GoldenModelIsThatOfThePth) {
  const auto pth = open_checkpoint(golden("v7/model.pth"));
  const auto gguf = open_checkpoint(golden("gguf/v7.gguf"));
  EXPECT_EQ(gguf->extras().naming, "gguf rwkv7");
  EXPECT_FALSE(gguf->extras().embedding_normalized);
  EXPECT_EQ(gguf->tensors().size(), pth->tensors().size());
  for (const auto& [name, tensor] : pth->tensors()) {
    const Tensor& found = gguf->require(name, tensor.shape);
    EXPECT_TRUE(found.as_stored()) << name;
    EXPECT_EQ(bits_of(found), bits_of(tensor)) << name;
    // Vectors and the decay's matrices are fp32 in such files, all others are as they were.
    if (found.dtype == tensor.dtype) {
      EXPECT_EQ(bytes_of(found), bytes_of(tensor)) << name;
    }
  }
}

TEST(Gguf, FilesHoldEveryEncodingInEveryArrangement) {
  std::map<Encoding, int> plain, transposed;
  for (const char* const path : {"gguf/rwkv6-mixed.gguf", "gguf/rwkv7-mixed.gguf", "gguf/blocks.gguf"}) {
    const auto file = open_checkpoint(golden(path));
    for (const auto& [name, tensor] : file->tensors())
      ++(tensor.contiguous() ? plain : transposed)[tensor.encoding];
  }
  EXPECT_EQ(plain.size(), 9u);
  EXPECT_EQ(transposed.size(), 9u);
}

TEST(Gguf, RescalingOfVersion6IsUndoneByAnExactFactor) {
  const auto file = open_checkpoint(golden("gguf/rwkv6-mixed.gguf"));  // every two layers
  EXPECT_EQ(file->extras().naming, "gguf rwkv6");
  std::set<std::pair<Encoding, DType>> scaled;
  for (const auto& [name, tensor] : file->tensors()) {
    const bool rescaled = name.ends_with("att.output.weight") || name.ends_with("ffn.value.weight");
    const int layer = rescaled ? name[7] - '0' : 0;
    EXPECT_EQ(tensor.scale, static_cast<float>(1 << layer / 2)) << name;
    if (tensor.scale != 1) scaled.insert({tensor.encoding, tensor.dtype});
  }
  EXPECT_GE(scaled.size(), 3u);
}

TEST(Gguf, ScalingThatWouldOverflowIsRefused) {
  const std::string bytes =
      le<std::uint16_t>(0x7bff) + le<std::uint16_t>(0x7c00);  // the largest fp16, infinity
  Tensor tensor{"t", DType::f16, {1}, {1}, reinterpret_cast<const std::byte*>(bytes.data())};
  tensor.scale = 2;
  std::uint16_t out = 0;
  EXPECT_THROW(copy_elements(tensor, &out), InputError);
  tensor.data += 2;  // what was infinite is so afterwards
  copy_elements(tensor, &out);
  EXPECT_EQ(out, 0x7c00);
}

TEST(Gguf, VocabularyIsGivenAsStored) {
  const auto file = open_checkpoint(golden("gguf/v7.gguf"));
  const Extras& extras = file->extras();
  EXPECT_EQ(extras.vocabulary_kind, "rwkv");
  ASSERT_EQ(extras.vocabulary.size(), 271u);
  EXPECT_EQ(extras.vocabulary[0], "<s>");
  EXPECT_EQ(extras.vocabulary[1], "\\x00");
  EXPECT_EQ(extras.vocabulary[11], "\\n");
  EXPECT_EQ(extras.vocabulary['a' + 1], "a");
  EXPECT_EQ(extras.vocabulary[270], "[PAD270]");
}

}  // namespace
}  // namespace riverrun::checkpoint
