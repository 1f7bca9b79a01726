// Damaged files end in a checkpoint or an InputError: never in a crash, a hang or a read outside the file.
// Run under AddressSanitizer this also proves the bounds.
#include <filesystem>
#include <random>

#include "support.h"

namespace riverrun::checkpoint {
namespace {

// Whether the content was taken; reads every element of whatever it gives.
bool accepts(const std::string& content) {
  const TemporaryFile file(content);
  try {
    const auto read = open_checkpoint(file.path());
    for (const auto& [name, tensor] : read->tensors()) {
      const Index most =
          tensor.encoding == Encoding::plain ? 1 : 8;  // bytes from one: 32 / 18 blocks of fp32
      EXPECT_LE(tensor.size() * size_of(tensor.dtype), most * static_cast<Index>(content.size())) << name;
      std::vector<std::byte> bytes(static_cast<std::size_t>(tensor.size() * size_of(tensor.dtype)));
      copy_elements(tensor, bytes.data());
    }
    return true;
  } catch (const InputError&) {
    return false;
  }
}

// Tensors of one scheme's names, one of which comes apart and one of which is turned.
std::string named_safetensors() {
  const std::string header =
      R"({"model.layers.0.attn.x_x":{"dtype":"BF16","shape":[6,1,2],"data_offsets":[0,24]},)"
      R"("model.layers.0.attn.w_lora.lora.0.weight":{"dtype":"F16","shape":[2,3],"data_offsets":[24,36]},)"
      R"("model.layers.0.attn.k_k":{"dtype":"F32","shape":[2],"data_offsets":[36,44]}})";
  return le<std::uint64_t>(header.size()) + header + std::string(44, '\7');
}

class Hostile : public ::testing::TestWithParam<const char*> {
 protected:
  const std::string name_ = GetParam();
  const std::string whole_ = name_ == "named" ? named_safetensors() : read_file(golden(name_));
};

TEST_P(Hostile, NoTruncationIsTaken) {
  ASSERT_TRUE(accepts(whole_));
  for (std::size_t size = 0; size < whole_.size(); ++size) {
    ASSERT_FALSE(accepts(whole_.substr(0, size))) << size << " of " << whole_.size() << " bytes";
  }
}

TEST_P(Hostile, FlippedBytesNeverCrash) {
  std::mt19937 random(20240607);  // NOLINT: the same damage every time
  int taken = 0, refused = 0;
  for (int trial = 0; trial < 4000; ++trial) {
    std::string damaged = whole_;
    for (int flips = 1 + static_cast<int>(random() % 4); flips > 0; --flips) {
      damaged[random() % damaged.size()] = static_cast<char>(random());
    }
    ++(accepts(damaged) ? taken : refused);
  }
  // Both happen: damage to numbers cannot be seen, damage to the directory can.
  EXPECT_GT(taken, 0);
  EXPECT_GT(refused, 0);
}

TEST_P(Hostile, ExtremeBytesNeverCrash) {
  for (std::size_t at = 0; at < whole_.size(); ++at) {
    for (const char extreme : {'\x00', '\x7f', '\xff'}) {
      std::string damaged = whole_;
      for (std::size_t i = at; i < std::min(at + 4, damaged.size()); ++i) damaged[i] = extreme;
      accepts(damaged);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Files, Hostile,
                         ::testing::Values("checkpoint/views.pth", "checkpoint/wrapped.pth",
                                           "checkpoint/legacy.pth", "checkpoint/types.safetensors",
                                           "gguf/small.gguf", "named"),
                         [](const auto& name) { return std::filesystem::path(name.param).stem().string(); });

}  // namespace
}  // namespace riverrun::checkpoint
