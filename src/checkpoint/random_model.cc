#include "checkpoint/random_model.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "checkpoint/safetensors_writer.h"
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

// Element at = min(ceiling, first + step * at + spread * unit): uniform noise about a constant or a ramp.
struct Law {
  double first = 0, spread = 0, step = 0, ceiling = 1e30;
};
Law around(double middle, double spread) { return {middle, spread}; }
// A matrix of which `inputs` numbers enter each output, of standard deviation gain / sqrt(inputs).
Law matrix(Index inputs, double gain = 1) { return {0, gain * std::sqrt(3.0 / static_cast<double>(inputs))}; }

struct RandomTensor {
  TensorSpec spec;
  Law law;
};

class RandomModel {
 public:
  explicit RandomModel(const RandomModelShape& shape)
      : shape_(shape), ffn_(shape.ffn ? shape.ffn : 4 * shape.channels) {
    const Index D = shape.channels;
    // Two sums per layer reach the residual stream; together they add as much as the embedding brings.
    branch_ = std::sqrt(0.5 / static_cast<double>(shape.layers));
    add("emb.weight", {shape.vocab, D}, around(0, 0.1));
    for (Index l = 0; l < shape.layers; ++l) add_layer(l);
    add_norm("ln_out");
    if (shape.head) add("head.weight", {shape.vocab, D}, matrix(D));
  }

  const std::vector<RandomTensor>& tensors() const { return tensors_; }

 private:
  void add(std::string name, std::vector<Index> dimensions, Law law) {
    tensors_.push_back({{std::move(name), shape_.dtype, std::move(dimensions)}, law});
  }
  void add_norm(const std::string& name) {
    add(name + ".weight", {shape_.channels}, around(1, 0.02));
    add(name + ".bias", {shape_.channels}, around(0, 0.02));
  }

  void add_layer(Index l) {
    const std::string block = "blocks." + std::to_string(l) + ".";
    if (l == 0) add_norm(block + "ln0");
    add_norm(block + "ln1");
    add_norm(block + "ln2");
    add_time_mix(block + "att.", l != 0 || shape_.block0_v);
    const Index D = shape_.channels;
    add(block + "ffn.x_k", {1, 1, D}, around(0.5, 0.5));
    add(block + "ffn.key.weight", {ffn_, D}, matrix(D));
    // relu(k)^2 of a standard normal k has mean square 3/2.
    add(block + "ffn.value.weight", {D, ffn_}, matrix(ffn_, branch_ * std::sqrt(1 / 1.5)));
  }

  void add_time_mix(const std::string& att, bool with_v) {
    const Index D = shape_.channels, N = shape_.head_size;
    const double step = 13.0 / static_cast<double>(D);
    for (const char x : {'r', 'w', 'k', 'v', 'a', 'g'}) add(att + "x_" + x, {1, 1, D}, around(0.5, 0.5));
    add(att + "w0", {1, 1, D}, {-14 + step / 2, step / 2, step});
    add(att + "w1", {D, shape_.rank_w}, matrix(D));
    add(att + "w2", {shape_.rank_w, D}, matrix(shape_.rank_w, 0.4));
    // An overwrite forgets a / N of a head's state per token, the decay 0.6 * sigmoid(w0). The two are equal
    // where a0 = w0 + log(0.6 * 64).
    add(att + "a0", {1, 1, D}, {-14 + 3.65, 0.1, step, 0});
    add(att + "a1", {D, shape_.rank_a}, matrix(D));
    add(att + "a2", {shape_.rank_a, D}, matrix(shape_.rank_a, 0.3));
    if (with_v) {
      add(att + "v0", {1, 1, D}, around(0, 1));
      add(att + "v1", {D, shape_.rank_v}, matrix(D));
      add(att + "v2", {shape_.rank_v, D}, matrix(shape_.rank_v));
    }
    add(att + "g1", {D, shape_.rank_g}, matrix(D));
    add(att + "g2", {shape_.rank_g, D}, matrix(shape_.rank_g, 1.8));  // a sigmoid's mean square is 0.3
    add(att + "k_k", {1, 1, D}, around(0.85, 0.05));
    add(att + "k_a", {1, 1, D}, around(1, 0.05));
    add(att + "r_k", {D / N, N}, around(0, 0.1));
    add(att + "receptance.weight", {D, D}, matrix(D));
    add(att + "key.weight", {D, D}, matrix(D));
    add(att + "value.weight", {D, D}, matrix(D));
    add(att + "output.weight", {D, D}, matrix(D, branch_));
    add_norm(att + "ln_x");
  }

  RandomModelShape shape_;
  Index ffn_;
  double branch_ = 0;
  std::vector<RandomTensor> tensors_;
};

void check(const RandomModelShape& shape) {
  for (const Index n : {shape.layers, shape.channels, shape.head_size, shape.vocab, shape.rank_w,
                        shape.rank_a, shape.rank_v, shape.rank_g}) {
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

void write_random_rwkv7(const std::string& path, const RandomModelShape& shape) {
  check(shape);
  const RandomModel model(shape);
  std::vector<TensorSpec> specs;
  for (const RandomTensor& tensor : model.tensors()) specs.push_back(tensor.spec);
  SafetensorsWriter writer(path, std::move(specs));

  constexpr Index kPiece = 1 << 18;
  const Index element = size_of(shape.dtype);
  std::vector<std::byte> piece(static_cast<std::size_t>(kPiece * element));
  for (const auto& [spec, law] : model.tensors()) {
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
