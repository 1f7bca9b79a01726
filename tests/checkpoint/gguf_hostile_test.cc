// Damaged and hostile GGUF files, made byte by byte, are refused with a message that says where.
#include <functional>

#include "support.h"

namespace riverrun::checkpoint {
namespace {

std::string text(const std::string& value) { return le<std::uint64_t>(value.size()) + value; }
std::string pair(const std::string& key, std::uint32_t type, const std::string& value) {
  return text(key) + le(type) + value;
}
std::string words(const std::string& key, const std::vector<std::string>& values) {
  std::string all = le<std::uint32_t>(8) + le<std::uint64_t>(values.size());
  for (const std::string& value : values) all += text(value);
  return pair(key, 9, all);
}
std::string tensor(const std::string& name, const std::vector<std::uint64_t>& dims, std::uint32_t type,
                   std::uint64_t offset) {
  return text(name) + le(static_cast<std::uint32_t>(dims.size())) + le_all(dims) + le(type) + le(offset);
}

// A small file that is right; tests change one thing.
struct File {
  std::uint32_t version = 3;
  std::vector<std::string> pairs = {
      pair("general.architecture", 8, text("rwkv7")), pair("rwkv7.wkv.head_size", 4, le<std::uint32_t>(4)),
      words("tokenizer.ggml.tokens", {"<s>", "\\x00"}),
      pair("nested", 9,
           le<std::uint32_t>(9) + le<std::uint64_t>(1) + le<std::uint32_t>(0) + le<std::uint64_t>(3) + "abc"),
      pair("flag", 7, "\x01")};
  std::vector<std::string> tensors = {tensor("token_embd.weight", {8, 2}, 0, 0),
                                      tensor("blk.0.time_mix_r_k.weight", {8}, 1, 64),
                                      tensor("blk.0.time_mix_w1.weight", {32, 2}, 8, 96)};
  std::size_t data = 192;                          // 64 + 16, padded to 96, + 68, padded
  std::uint64_t pair_count = 0, tensor_count = 0;  // 0: as many as there are
  std::size_t alignment = 32;

  std::string bytes() const {
    std::string file = "GGUF" + le(version) +
                       le<std::uint64_t>(tensor_count ? tensor_count : tensors.size()) +
                       le<std::uint64_t>(pair_count ? pair_count : pairs.size());
    for (const std::string& part : pairs) file += part;
    for (const std::string& part : tensors) file += part;
    file.resize((file.size() + alignment - 1) / alignment * alignment);
    return file + std::string(data, '\0');
  }
};

void refused_after(const std::function<void(File&)>& change, const std::vector<std::string>& words) {
  File file;
  change(file);
  expect_refused(file.bytes(), words);
}

TEST(GgufHostile, TheFileAsItIsIsRead) {
  const TemporaryFile file(File{}.bytes());
  const auto read = open_checkpoint(file.path());
  EXPECT_EQ(read->require("emb.weight", {2, 8}).dtype, DType::f32);
  EXPECT_EQ(read->require("blocks.0.att.r_k", {2, 4}).strides, (std::vector<Index>{4, 1}));
  EXPECT_EQ(read->require("blocks.0.att.w1", {32, 2}).strides, (std::vector<Index>{1, 32}));
  EXPECT_EQ(read->extras().vocabulary, (std::vector<std::string>{"<s>", "\\x00"}));
}

// 123 tensors: the count begins with the brace that a safetensors header shows in the same place.
TEST(GgufHostile, CountThatLooksLikeABraceIsNoSafetensors) {
  refused_after([](File& file) { file.tensor_count = '{'; }, {"the list of tensors claims 123"});
}

TEST(GgufHostile, OtherVersionsAreRefused) {
  refused_after([](File& file) { file.version = 1; }, {"version 1"});
  refused_after([](File& file) { file.version = 4; }, {"version 4"});
  refused_after([](File& file) { file.version = 0x03000000; }, {"big-endian"});
}

TEST(GgufHostile, OtherArchitecturesAreRefusedByName) {
  const auto named = [](const char* name) {
    return [name](File& file) { file.pairs[0] = pair("general.architecture", 8, text(name)); };
  };
  refused_after(named("arwkv7"), {"\"arwkv7\"", "inside a transformer"});
  refused_after(named("rwkv6qwen2"), {"\"rwkv6qwen2\"", "Qwen2"});
  refused_after(named("llama"), {"\"llama\"", "no RWKV"});
  refused_after([](File& file) { file.pairs.erase(file.pairs.begin()); }, {"\"\"", "rwkv6 and rwkv7"});
  refused_after([](File& file) { file.pairs[0] = pair("general.architecture", 4, le(7)); },
                {"general.architecture", "not a string"});
}

TEST(GgufHostile, WhatWouldBeComputedWronglyIsRefused) {
  refused_after([](File& file) { file.pairs.push_back(pair("split.count", 2, le<std::uint16_t>(3))); },
                {"one of 3 parts"});
  refused_after(
      [](File& file) { file.pairs.push_back(pair("rwkv7.attention.layer_norm_epsilon", 6, le(1e-6f))); },
      {"layer_norm_epsilon"});
  refused_after(
      [](File& file) {
        file.tensors.push_back(tensor("blk.0.ffn_gate.weight", {8}, 0, 192)), file.data += 32;
      },
      {"blk.0.ffn_gate.weight"});
  refused_after([](File& file) { file.pairs[1] = pair("rwkv7.wkv.head_size", 4, le(3u)); },
                {"blocks.0.att.r_k", "heads of 3"});
  refused_after([](File& file) { file.pairs[1] = pair("rwkv7.wkv.head_size", 5, le(-4)); },
                {"head_size", "from 0 up"});
  refused_after([](File& file) { file.pairs.erase(file.pairs.begin() + 1); },
                {"blocks.0.att.r_k", "heads of 0"});
}

TEST(GgufHostile, MetadataOutsideTheFileIsRefused) {
  refused_after([](File& file) { file.pair_count = ~std::uint64_t{0}; }, {"the metadata claims"});
  refused_after([](File& file) { file.pair_count = 7; }, {""});  // two tensors are taken for pairs
  refused_after([](File& file) { file.pairs[4] = le<std::uint64_t>(~std::uint64_t{0}) + "key"; },
                {"a metadata key claims"});
  refused_after([](File& file) { file.pairs[4] = pair("k", 8, le<std::uint64_t>(std::uint64_t{1} << 62)); },
                {"k claims"});
  for (const std::uint32_t element : {0u, 8u, 9u, 12u}) {
    refused_after(
        [&](File& file) {
          file.pairs[4] = pair("k", 9, le(element) + le<std::uint64_t>(std::uint64_t{1} << 61));
        },
        {"k claims"});
  }
}

TEST(GgufHostile, WrongMetadataIsRefused) {
  refused_after([](File& file) { file.pairs[4] = pair("k", 13, ""); }, {"k", "type 13"});
  refused_after([](File& file) { file.pairs[4] = pair("k", 9, le(13u) + le<std::uint64_t>(1)); },
                {"k", "type 13"});
  refused_after([](File& file) { file.pairs[4] = file.pairs[1]; }, {"rwkv7.wkv.head_size", "twice"});
  refused_after([](File& file) { file.pairs[2] = pair("tokenizer.ggml.tokens", 8, text("a")); },
                {"not an array of strings"});
  refused_after(
      [](File& file) { file.pairs[2] = pair("tokenizer.ggml.tokens", 9, le(0u) + le<std::uint64_t>(0)); },
      {"not an array of strings"});
  refused_after([](File& file) { file.pairs[4] = pair("tokenizer.ggml.model", 7, "\x01"); },
                {"not a string"});
  for (const std::uint32_t alignment : {0u, 24u, 1u << 31}) {
    refused_after([&](File& file) { file.pairs[4] = pair("general.alignment", 4, le(alignment)); },
                  {"general.alignment"});
  }
}

TEST(GgufHostile, ArraysAreNestedToADepthOnly) {
  std::string value;
  for (int depth = 0; depth < 100000; ++depth) value += le(9u) + le<std::uint64_t>(1);
  value += le(0u) + le<std::uint64_t>(0);
  refused_after([&](File& file) { file.pairs[4] = pair("deep", 9, value); }, {"deep", "nests arrays"});
}

TEST(GgufHostile, TensorsOutsideTheFileAreRefused) {
  const std::uint64_t huge = std::uint64_t{1} << 62;
  refused_after([](File& file) { file.tensor_count = ~std::uint64_t{0}; }, {"the list of tensors claims"});
  refused_after([](File& file) { file.data = 150; }, {"blk.0.time_mix_w1.weight", "downloaded"});
  refused_after(
      [&](File& file) {
        file.tensors[2] = tensor("blk.0.time_mix_w1.weight", {32, 2}, 8, huge);
      },
      {"takes up bytes"});
  refused_after(
      [](File& file) {
        file.tensors[2] = tensor("blk.0.time_mix_w1.weight", {32, 2}, 8, INT64_MAX - 31);
      },
      {"beyond any file"});
  refused_after(
      [](File& file) {
        file.tensors[2] = tensor("blk.0.time_mix_w1.weight", {32, 2}, 8, ~std::uint64_t{31});
      },
      {"blk.0.time_mix_w1.weight", "begins at"});
  refused_after(
      [&](File& file) {
        file.tensors[0] = tensor("token_embd.weight", {8, huge, 8}, 0, 0);
      },
      {"too large"});
  refused_after(
      [&](File& file) {
        file.tensors[0] = tensor("token_embd.weight", {32, huge / 256}, 2, 0);
      },
      {"token_embd.weight"});
  refused_after([&](File& file) { file.tensors[0] = tensor("token_embd.weight", {2 * huge}, 0, 0); },
                {"token_embd.weight", "dimension"});
}

TEST(GgufHostile, WrongTensorsAreRefused) {
  const auto embedding = [](const std::vector<std::uint64_t>& dims, std::uint32_t type,
                            std::uint64_t offset = 0) {
    return [=](File& file) { file.tensors[0] = tensor("token_embd.weight", dims, type, offset); };
  };
  refused_after(embedding({8, 2}, 11), {"token_embd.weight", "Q3_K", "Q4_K"});
  refused_after(embedding({8, 2}, 4000), {"number 4000"});
  refused_after(embedding({8, 0}, 0), {"dimension of 0"});
  refused_after(embedding({8, 1, 1, 1, 1}, 0), {"5 dimensions"});
  refused_after(embedding({48, 1}, 8), {"rows of 48", "blocks of 32"});
  refused_after(embedding({32, 1}, 12), {"rows of 32", "blocks of 256"});
  refused_after(embedding({}, 2), {"rows of 1"});
  refused_after(embedding({8, 2}, 0, 4), {"multiple of the alignment"});
  refused_after(embedding({8, 2}, 0, 32), {"overlap"});
  refused_after([](File& file) { file.tensors[1] = file.tensors[0]; }, {"overlap"});
  refused_after([](File& file) { file.tensors[1] = tensor("token_embd.weight", {8}, 1, 64); },
                {"two tensors named"});
  refused_after([](File& file) { file.tensors.clear(); }, {"no tensor"});
}

TEST(GgufHostile, AlignmentOfTheFileIsKept) {
  File file;
  file.pairs[4] = pair("general.alignment", 4, le(64u));
  file.tensors = {tensor("token_embd.weight", {8, 2}, 0, 64)};
  file.alignment = 64;
  std::string bytes = file.bytes();
  bytes.replace(bytes.size() - file.data + 64, 4, le(2.5f));
  const TemporaryFile written(bytes);
  EXPECT_EQ(floats(open_checkpoint(written.path())->require("emb.weight", {2, 8}))[0], 2.5f);
}

// Rescaling by as many layers as a name can have: refused, not infinity.
TEST(GgufHostile, RescalingIsBounded) {
  File file;
  file.pairs = {pair("general.architecture", 8, text("rwkv6")),
                pair("rwkv6.rescale_every_n_layers", 4, le(1u))};
  file.tensors = {tensor("blk.999999.time_mix_output.weight", {8, 2}, 0, 0)};
  expect_refused(file.bytes(), {"blocks.999999.att.output.weight", "rescaled"});
}

}  // namespace
}  // namespace riverrun::checkpoint
