#include "checkpoint/ggml_blocks.h"

#include <algorithm>
#include <span>

#include "checkpoint/layout.h"
#include "core/error.h"

namespace riverrun::checkpoint {
namespace {

// Every product below fits the 24 bits of an fp32, but that of Q6_K, which ends in it, so the results do not
// depend on whether the compiler fuses a product and a sum.

using BlockBytes = const std::byte*;

constexpr Index kSmall = 32, kLarge = 256;  // elements of a block

int byte(BlockBytes from) { return std::to_integer<int>(*from); }
int signed_byte(BlockBytes from) { return static_cast<std::int8_t>(byte(from)); }
int low(BlockBytes from) { return byte(from) & 15; }
int high(BlockBytes from) { return byte(from) >> 4; }

float half(BlockBytes from) {
  std::uint16_t bits;
  std::memcpy(&bits, from, sizeof bits);
  return f16_to_float(bits);
}

std::uint32_t word(BlockBytes from) {
  std::uint32_t bits;
  std::memcpy(&bits, from, sizeof bits);
  return bits;
}

// 32 numbers of 4 bits in 16 bytes: element i is the low half of byte i, element 16 + i its high half.

// scale; 32 x 4 bits, less 8
void decode_q4_0(BlockBytes from, float* to) {
  const float scale = half(from);
  for (int i = 0; i < 16; ++i) {
    to[i] = scale * static_cast<float>(low(from + 2 + i) - 8);
    to[16 + i] = scale * static_cast<float>(high(from + 2 + i) - 8);
  }
}

// scale; shift; 32 x 4 bits
void decode_q4_1(BlockBytes from, float* to) {
  const float scale = half(from), shift = half(from + 2);
  for (int i = 0; i < 16; ++i) {
    to[i] = scale * static_cast<float>(low(from + 4 + i)) + shift;
    to[16 + i] = scale * static_cast<float>(high(from + 4 + i)) + shift;
  }
}

// scale; bit i of 32: the fifth of element i; 32 x 4 bits; less 16
void decode_q5_0(BlockBytes from, float* to) {
  const float scale = half(from);
  const std::uint32_t fifth = word(from + 2);
  for (int i = 0; i < 16; ++i) {
    const int first = low(from + 6 + i) | static_cast<int>(fifth >> i & 1) << 4;
    const int second = high(from + 6 + i) | static_cast<int>(fifth >> (16 + i) & 1) << 4;
    to[i] = scale * static_cast<float>(first - 16);
    to[16 + i] = scale * static_cast<float>(second - 16);
  }
}

// scale; shift; fifth bits; 32 x 4 bits
void decode_q5_1(BlockBytes from, float* to) {
  const float scale = half(from), shift = half(from + 2);
  const std::uint32_t fifth = word(from + 4);
  for (int i = 0; i < 16; ++i) {
    const int first = low(from + 8 + i) | static_cast<int>(fifth >> i & 1) << 4;
    const int second = high(from + 8 + i) | static_cast<int>(fifth >> (16 + i) & 1) << 4;
    to[i] = scale * static_cast<float>(first) + shift;
    to[16 + i] = scale * static_cast<float>(second) + shift;
  }
}

// scale; 32 x int8
void decode_q8_0(BlockBytes from, float* to) {
  const float scale = half(from);
  for (int i = 0; i < kSmall; ++i) to[i] = scale * static_cast<float>(signed_byte(from + 2 + i));
}

// The K encodings cut 256 elements into 8 groups of 32, each with a 6-bit scale and a 6-bit shift, packed
// into 12 bytes: 0-3 hold the scales of groups 0-3, 4-7 their shifts, 8-11 the low four bits of scale and
// shift of groups 4-7, whose upper two bits are those of bytes 0-3 and 4-7.
struct GroupScale {
  int scale, shift;
};
GroupScale group_scale(BlockBytes packed, int group) {
  if (group < 4) return {byte(packed + group) & 63, byte(packed + 4 + group) & 63};
  const BlockBytes rest = packed + 4 + group;
  return {low(rest) | (byte(packed + group - 4) >> 6) << 4, high(rest) | (byte(packed + group) >> 6) << 4};
}

// scale; shift; 12 bytes of groups; then per pair of groups 32 bytes: low halves the first, high halves the
// second. Q5_K has 32 bytes before that: bit g of byte i is the fifth bit of element i of group g.
void decode_q45_k(BlockBytes from, BlockBytes fifth, BlockBytes bits, float* to) {
  const float scale = half(from), shift = half(from + 2);
  for (int group = 0; group < 8; ++group) {
    const GroupScale own = group_scale(from + 4, group);
    const float group_factor = scale * static_cast<float>(own.scale);
    const float group_shift = shift * static_cast<float>(own.shift);
    for (int i = 0; i < 32; ++i) {
      const BlockBytes pair = bits + group / 2 * 32 + i;
      int value = group % 2 == 0 ? low(pair) : high(pair);
      if (fifth) value |= (byte(fifth + i) >> group & 1) << 4;
      to[group * 32 + i] = group_factor * static_cast<float>(value) - group_shift;
    }
  }
}
void decode_q4_k(BlockBytes from, float* to) { decode_q45_k(from, nullptr, from + 16, to); }
void decode_q5_k(BlockBytes from, float* to) { decode_q45_k(from, from + 16, from + 48, to); }

// 128 bytes of low four bits, 64 of upper two, 16 int8 scales of 16 elements each, scale; less 32. Each half
// of the block: 64 bytes whose low halves are groups 0 and 1, the high ones 2 and 3; 32 bytes with two bits
// for each group.
void decode_q6_k(BlockBytes from, float* to) {
  const BlockBytes upper = from + 128, scales = upper + 64;
  const float scale = half(scales + 16);
  for (int group = 0; group < 8; ++group) {
    const int part = group / 4, in_part = group % 4;
    for (int i = 0; i < 32; ++i) {
      const BlockBytes four = from + part * 64 + in_part % 2 * 32 + i;
      const int two = byte(upper + part * 32 + i) >> (2 * in_part) & 3;
      const int value = ((in_part < 2 ? low(four) : high(four)) | two << 4) - 32;
      const float group_factor = scale * static_cast<float>(signed_byte(scales + group * 2 + i / 16));
      to[group * 32 + i] = group_factor * static_cast<float>(value);
    }
  }
}

// In the order of Encoding, without plain.
constexpr BlockLayout kLayouts[] = {
    {kSmall, 18, decode_q4_0},  {kSmall, 20, decode_q4_1},  {kSmall, 22, decode_q5_0},
    {kSmall, 24, decode_q5_1},  {kSmall, 34, decode_q8_0},  {kLarge, 144, decode_q4_k},
    {kLarge, 176, decode_q5_k}, {kLarge, 210, decode_q6_k},
};

// Elements at positions that mostly grow, one block decoded at a time.
class BlockReader {
 public:
  explicit BlockReader(const Tensor& tensor) : layout_(block_layout(tensor.encoding)), data_(tensor.data) {}

  float at(Index position) {
    const Index block = position / layout_.elements;
    if (block != held_) layout_.decode(data_ + block * layout_.bytes, values_);
    held_ = block;
    return values_[position % layout_.elements];
  }

 private:
  const BlockLayout& layout_;
  BlockBytes data_;
  Index held_ = -1;
  float values_[kLarge];
};

struct Dimension {
  Index size, from, to;  // strides in the decoded order and in the copy
};

void scatter(std::span<const Dimension> dimensions, BlockReader& reader, Index from, float* to) {
  if (dimensions.empty()) {
    *to = reader.at(from);
    return;
  }
  const Dimension& outer = dimensions[0];
  for (Index i = 0; i < outer.size; ++i) {
    scatter(dimensions.subspan(1), reader, from + i * outer.from, to + i * outer.to);
  }
}

}  // namespace

const BlockLayout& block_layout(Encoding encoding) {
  RR_CHECK(encoding != Encoding::plain, "plain elements have no blocks");
  return kLayouts[static_cast<int>(encoding) - 1];
}

Index bytes_in_file(const Tensor& tensor) {
  const Index extent = checked_extent(tensor.name, tensor.shape, tensor.strides);
  if (tensor.encoding == Encoding::plain) return extent * size_of(tensor.dtype);
  const BlockLayout& layout = block_layout(tensor.encoding);
  RR_CHECK(tensor.dtype == DType::f32 && tensor.decoded % layout.elements == 0 && extent <= tensor.decoded,
           "tensor ", tensor.name, " reaches ", extent, " of ", tensor.decoded, " encoded elements");
  return tensor.decoded / layout.elements * layout.bytes;
}

void advance(Tensor& tensor, Index elements) {
  if (tensor.encoding == Encoding::plain) {
    tensor.data += elements * size_of(tensor.dtype);
    return;
  }
  const BlockLayout& layout = block_layout(tensor.encoding);
  RR_CHECK(elements % layout.elements == 0, "tensor ", tensor.name, " cannot be cut inside a block");
  tensor.data += elements / layout.elements * layout.bytes;
  tensor.decoded -= elements;
}

void decode_elements(const Tensor& tensor, float* to) {
  const BlockLayout& layout = block_layout(tensor.encoding);
  if (tensor.contiguous() && tensor.size() % layout.elements == 0) {
    for (Index block = 0; block < tensor.size() / layout.elements; ++block) {
      layout.decode(tensor.data + block * layout.bytes, to + block * layout.elements);
    }
    return;
  }
  // In the order of the file, so that each block of a transposed matrix is decoded once.
  const auto dense = dense_strides(tensor.shape);
  std::vector<Dimension> dimensions;
  for (std::size_t d = 0; d < dense.size(); ++d)
    dimensions.push_back({tensor.shape[d], tensor.strides[d], dense[d]});
  std::stable_sort(dimensions.begin(), dimensions.end(),
                   [](const Dimension& a, const Dimension& b) { return a.from > b.from; });
  BlockReader reader(tensor);
  scatter(dimensions, reader, 0, to);
}

}  // namespace riverrun::checkpoint
