#include "checkpoint/random_model.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "checkpoint/random_tensors.h"
#include "core/error.h"

namespace riverrun::checkpoint {
namespace {

// splitmix64 as a function of a counter (Steele, Lea, Flood 2014): element i of a tensor is drawn by itself.
constexpr std::uint64_t kGolden = 0x9e3779b97f4a7c15u;
std::uint64_t mix(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

std::uint64_t seed_of(const std::string& name, std::uint64_t seed) {
  std::uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return mix(mix(seed + kGolden) ^ hash);
}

// Uniform in [-1, 1); exact in double precision.
double unit(std::uint64_t seed, Index at) {
  const std::uint64_t bits = mix(seed + static_cast<std::uint64_t>(at + 1) * kGolden) >> 11;
  return static_cast<double>(static_cast<std::int64_t>(bits) - (std::int64_t{1} << 52)) * 0x1p-52;
}

void check(const RandomModelShape& shape) {
  for (const Index n : {shape.layers, shape.channels, shape.head_size, shape.vocab, shape.rank_w,
                        shape.rank_a, shape.rank_v, shape.rank_g, shape.rank_shift, shape.rank_embed}) {
    RR_CHECK_INPUT(n > 0, "a random model needs layers, channels, head size, vocabulary and ranks above 0");
  }
  RR_CHECK_INPUT(shape.ffn >= 0, "a random model cannot have ", shape.ffn, " feed-forward channels");
  RR_CHECK_INPUT(shape.channels % shape.head_size == 0, "the channels of a random model, ", shape.channels,
                 ", must be a multiple of its head size, ", shape.head_size);
  RR_CHECK_INPUT(shape.dtype <= DType::f16, "a random model cannot have elements of type ",
                 name_of(shape.dtype));
}

void fill(const Law& law, DType dtype, std::uint64_t seed, Index first, Index count, std::byte* to) {
  const bool centred = law.first == 0 && law.step == 0;
  for (Index i = 0; i < count; ++i) {
    const Index at = first + i;
    double value = law.spread * unit(seed, at);
    // std::fma, since a compiler may or may not fuse a product and a sum, which would change the last bit.
    if (!centred) {
      value = std::fma(law.spread, unit(seed, at), std::fma(law.step, static_cast<double>(at), law.first));
    }
    store_float(to, dtype, i, static_cast<float>(std::min(value, law.ceiling)));
  }
}

}  // namespace

void write_random_model(const std::string& path, const RandomModelShape& shape) {
  check(shape);
  const std::vector<RandomTensor> tensors = random_tensors(shape);
  std::vector<TensorSpec> specs;
  for (const RandomTensor& tensor : tensors) specs.push_back(tensor.spec);
  SafetensorsWriter writer(path, std::move(specs));

  constexpr Index kPiece = 1 << 18;
  const Index element = size_of(shape.dtype);
  std::vector<std::byte> piece(static_cast<std::size_t>(kPiece * element));
  for (const auto& [spec, law] : tensors) {
    Index size = 1;
    for (const Index n : spec.shape) size *= n;
    const std::uint64_t seed = seed_of(spec.name, shape.seed);
    for (Index first = 0; first < size; first += kPiece) {
      const Index count = std::min(kPiece, size - first);
      fill(law, shape.dtype, seed, first, count, piece.data());
      writer.write(spec.name, {piece.data(), static_cast<std::size_t>(count * element)});
    }
  }
  writer.finish();
}

}  // namespace riverrun::checkpoint
