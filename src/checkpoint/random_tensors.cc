#include "checkpoint/random_tensors.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/error.h"

namespace riverrun::checkpoint {
namespace {

Law around(double middle, double spread) { return {middle, spread}; }
// A matrix of which `inputs` numbers enter each output, of standard deviation gain / sqrt(inputs).
Law matrix(Index inputs, double gain = 1) { return {0, gain * std::sqrt(3.0 / static_cast<double>(inputs))}; }
// From low to low + range over `count` elements, each drawn from a step of its own.
Law ramp(double low, double range, Index count) {
  const double step = range / static_cast<double>(count);
  return {low + step / 2, step / 2, step};
}
// For a decay factor of exp(-exp(x)): 1 - w from 5e-7 to 0.16.
Law slow_decay(Index count) { return ramp(-14.5, 12.7, count); }

// What brings a product back to a mean square of 1, by what it is multiplied with.
const double kAfterSigmoid = 1.8, kAfterSilu = 1.6;

class RandomModel {
 public:
  explicit RandomModel(const RandomModelShape& shape, void (RandomModel::*add_layer_parts)(const std::string& block, Index l),
                       bool wide_ffn)
      : shape_(shape), D_(shape.channels), H_(shape.channels / shape.head_size) {
    const Index narrow = std::max<Index>(32, D_ * 7 / 2 / 32 * 32);
    ffn_ = shape.ffn ? shape.ffn : wide_ffn ? 4 * D_ : narrow;
    // Two sums per layer reach the residual stream; together they add as much as the embedding brings.
    branch_ = std::sqrt(0.5 / static_cast<double>(shape.layers));
    add("emb.weight", {shape.vocab, D_}, around(0, 0.1));
    for (Index l = 0; l < shape.layers; ++l) {
      const std::string block = "blocks." + std::to_string(l) + ".";
      if (l == 0) add_norm(block + "ln0");
      add_norm(block + "ln1");
      add_norm(block + "ln2");
      (this->*add_layer_parts)(block, l);
    }
    add_norm("ln_out");
    if (shape.head) add("head.weight", {shape.vocab, D_}, matrix(D_));
  }

  std::vector<RandomTensor> take() { return std::move(tensors_); }

  void add_rwkv4(const std::string& block, Index) {
    const std::string att = block + "att.";
    for (const char x : {'k', 'v', 'r'}) add(att + "time_mix_" + x, {1, 1, D_}, around(0.5, 0.5));
    add(att + "time_decay", {D_}, slow_decay(D_));
    add(att + "time_first", {D_}, around(-1, 1));
    add_projections(att, {"receptance", "key", "value"}, kAfterSigmoid);
    add_gated_channel_mix(block + "ffn.", "time_mix_");
  }

  void add_rwkv5_0(const std::string& block, Index) {
    add_rwkv5_time_mix(block + "att.", {H_}, {'k', 'v', 'r'}, "time_first", around(-1, 0.5));
    add_projections(block + "att.", {"receptance", "key", "value"});
    add_gated_channel_mix(block + "ffn.", "time_mix_");
  }
  void add_rwkv5_1(const std::string& block, Index) { add_gated_rwkv5(block, {H_}); }
  void add_rwkv5_2(const std::string& block, Index) {
    add_gated_rwkv5(block, {H_, shape_.head_size});
    add_time_state(block + "att.");
  }

  void add_rwkv6(const std::string& block, Index) {
    const std::string att = block + "att.";
    const Index R = shape_.rank_shift;
    for (const char x : {'x', 'w', 'k', 'v', 'r', 'g'}) add(att + "time_maa_" + x, {1, 1, D_}, around(0.5, 0.4));
    add(att + "time_maa_w1", {D_, 5 * R}, matrix(D_));
    add(att + "time_maa_w2", {5, R, D_}, matrix(R, 0.2));
    add(att + "time_decay", {1, 1, D_}, slow_decay(D_));
    add(att + "time_decay_w1", {D_, shape_.rank_w}, matrix(D_));
    add(att + "time_decay_w2", {shape_.rank_w, D_}, matrix(shape_.rank_w, 0.4));
    add(att + "time_faaaa", {H_, shape_.head_size}, around(0.5, 0.5));
    add_norm(att + "ln_x");
    add_projections(att, {"receptance", "key", "value", "gate"}, kAfterSilu);
    add_time_state(att);
    add_gated_channel_mix(block + "ffn.", "time_maa_");
  }

  void add_rwkv7(const std::string& block, Index l) {
    add_rwkv7_time_mix(block + "att.", l != 0 || shape_.block0_v);
    add_time_state(block + "att.");
    add(block + "ffn.x_k", {1, 1, D_}, around(0.5, 0.5));
    add_channel_mix(block + "ffn.");
  }

  void add_rwkv7a(const std::string& block, Index l) {
    add_rwkv7(block, l);
    const std::string ffn = block + "ffn.";
    const Index R = shape_.rank_embed;
    add(ffn + "s_emb.weight", {shape_.vocab, R * R}, matrix(R, 0.7));
    add(ffn + "s_emb_x.weight", {R * R, D_}, matrix(D_ * R, 0.7));
    add(ffn + "s1", {D_, R}, matrix(D_));
    add(ffn + "s2", {R, ffn_}, matrix(R, 0.3));
    add(ffn + "s0", {ffn_}, around(1, 0.1));
  }

 private:
  void add(std::string name, std::vector<Index> dimensions, Law law) {
    tensors_.push_back({{std::move(name), shape_.dtype, std::move(dimensions)}, law});
  }
  void add_norm(const std::string& name) {
    add(name + ".weight", {D_}, around(1, 0.02));
    add(name + ".bias", {D_}, around(0, 0.02));
  }
  // Inputs of the recurrence, and the output of time mix.
  void add_projections(const std::string& att, std::initializer_list<const char*> names, double output_gain = 1) {
    for (const char* name : names) add(att + name + ".weight", {D_, D_}, matrix(D_));
    add(att + "output.weight", {D_, D_}, matrix(D_, branch_ * output_gain));
  }
  void add_channel_mix(const std::string& ffn, double gain = 1) {
    add(ffn + "key.weight", {ffn_, D_}, matrix(D_));
    // relu(k)^2 of a standard normal k has mean square 3/2.
    add(ffn + "value.weight", {D_, ffn_}, matrix(ffn_, gain * branch_ * std::sqrt(1 / 1.5)));
  }
  void add_gated_channel_mix(const std::string& ffn, const std::string& lerp) {
    for (const char x : {'k', 'r'}) add(ffn + lerp + x, {1, 1, D_}, around(0.5, 0.5));
    add(ffn + "receptance.weight", {D_, D_}, matrix(D_));
    add_channel_mix(ffn, kAfterSigmoid);
  }
  void add_time_state(const std::string& att) {
    if (shape_.time_state) add(att + "time_state", {H_, shape_.head_size, shape_.head_size}, around(0, 1));
  }

  // `spread`: [H] or [H, N], what has a decay and a bonus of its own.
  void add_rwkv5_time_mix(const std::string& att, const std::vector<Index>& spread, std::initializer_list<char> lerps,
                          const char* bonus, Law bonus_law) {
    for (const char x : lerps) add(att + "time_mix_" + x, {1, 1, D_}, around(0.5, 0.5));
    add(att + "time_decay", spread, slow_decay(spread.size() == 1 ? H_ : D_));
    add(att + bonus, spread, bonus_law);
    add_norm(att + "ln_x");
  }
  void add_gated_rwkv5(const std::string& block, const std::vector<Index>& spread) {
    add_rwkv5_time_mix(block + "att.", spread, {'k', 'v', 'r', 'g'}, "time_faaaa", around(0.5, 0.5));
    add_projections(block + "att.", {"receptance", "key", "value", "gate"}, kAfterSilu);
    add_gated_channel_mix(block + "ffn.", "time_mix_");
  }

  void add_rwkv7_time_mix(const std::string& att, bool with_v) {
    const Index D = D_, N = shape_.head_size;
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

  const RandomModelShape& shape_;
  Index D_, H_, ffn_ = 0;
  double branch_ = 0;
  std::vector<RandomTensor> tensors_;
};

struct RandomGeneration {
  const char* name;
  void (RandomModel::*add_layer_parts)(const std::string& block, Index l);
  bool wide_ffn;  // 4 * D, else about 3.5 * D
  bool tunable;
};
constexpr std::array kRandomGenerations = {
    RandomGeneration{"rwkv4", &RandomModel::add_rwkv4, true, false},
    RandomGeneration{"rwkv5.0", &RandomModel::add_rwkv5_0, true, false},
    RandomGeneration{"rwkv5.1", &RandomModel::add_rwkv5_1, false, false},
    RandomGeneration{"rwkv5.2", &RandomModel::add_rwkv5_2, false, true},
    RandomGeneration{"rwkv6", &RandomModel::add_rwkv6, false, true},
    RandomGeneration{"rwkv7", &RandomModel::add_rwkv7, true, true},
    RandomGeneration{"rwkv7a", &RandomModel::add_rwkv7a, true, true},
};

}  // namespace

std::vector<RandomTensor> random_tensors(const RandomModelShape& shape) {
  std::string known;
  for (const RandomGeneration& generation : kRandomGenerations) {
    if (shape.generation == generation.name) {
      RR_CHECK_INPUT(generation.tunable || !shape.time_state, generation.name, " models have no tuned initial state");
      return RandomModel(shape, generation.add_layer_parts, generation.wide_ffn).take();
    }
    known += concat(known.empty() ? "" : ", ", generation.name);
  }
  throw InputError(concat("a random model of generation '", shape.generation, "' cannot be made; known: ", known));
}

}  // namespace riverrun::checkpoint
