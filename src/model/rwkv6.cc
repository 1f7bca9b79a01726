// RWKV-6 "Finch" (x060): the state of RWKV-5 with a decay of each token's own, and lerps that depend on the token.
//
// Source: arXiv:2404.05892; tensor names as in the official training code.

#include "model/rwkv6.h"

#include <algorithm>
#include <array>

#include "core/error.h"
#include "model/gated_network.h"

namespace riverrun::model {

namespace {

enum Lerp { kW, kK, kV, kR, kG, kLerps };  // in the order of time_maa_w1 and time_maa_w2

struct Layer {
  Norm ln1, ln_x;
  Array<float> mu_x;                    // of the row that decides on the others
  std::array<Array<float>, kLerps> mu;
  Matrix shift_down;                    // time_maa_w1, of all five at once
  std::vector<Matrix> shift_up;         // time_maa_w2
  Array<float> decay, bonus;
  Lora decay_lora;
  Matrix receptance, key, value, gate, output;
};

Index inner_width(const Config& c) { return std::max({c.ffn, kLerps * c.rank_shift, c.rank_decay}); }

class Rwkv6Workspace : public NetworkWorkspace {
 public:
  Rwkv6Workspace(const Config& c, Index most_rows, DType operand, Stream on, kernels::Phase in)
      : NetworkWorkspace(c, most_rows, operand, on, in, kLerps, inner_width(c)) {
    for (auto* array : {&w, &g, &change}) *array = floats(c.channels);
  }

  // Token shift leaves its row in y, which is free until the recurrence, and the lerps' deltas where the projections
  // will be that are made from them.
  float* normal() const { return y.data(); }
  std::array<float*, kLerps> deltas() const { return {w.data(), k.data(), v.data(), r.data(), g.data()}; }

  Array<float> w, g;    // [M, D] decay factor, gate
  Array<float> change;  // [M, D] previous row minus this one
};

class Rwkv6 : public GatedNetwork {
 public:
  Rwkv6(const LoadArgs& args, WeightLoader& load) : GatedNetwork(args, load, head_state_shape(args.config)) {
    for (Index layer = 0; layer < config_.layers; ++layer) {
      layers_.push_back(load_layer(load, layer));
      load_channel_mix(load, Share::previous);
    }
    finish_load(load);
  }

  std::unique_ptr<Workspace> make_workspace(Index capacity, Stream stream, Phase phase) const override {
    return std::make_unique<Rwkv6Workspace>(config_, capacity, precision_, stream, phase);
  }

  void mix_time(Workspace& workspace, Index layer, In rows, Out next_rows) const override {
    auto& ws = self(workspace);
    shift_mix(ws, layers_[layer].ln1, rows, next_rows, {&layers_[layer].mu_x, 1}, ws.normal(), ws.change.data());
  }

  void project(Workspace& workspace, Index layer) const override {
    auto& ws = self(workspace);
    const Layer& at = layers_[layer];
    mix_by_token(ws, at);
    const std::array of_mixes = {
        to_floats(ws, ws.mix[kR].data(), at.receptance, ws.r.data()), to_floats(ws, ws.mix[kK].data(), at.key, ws.k.data()),
        to_floats(ws, ws.mix[kV].data(), at.value, ws.v.data()), to_floats(ws, ws.mix[kG].data(), at.gate, ws.g.data(), Epilogue::silu),
        to_operands(ws, ws.mix[kW].data(), at.decay_lora.down, ws.inner.data(), Epilogue::tanh)};
    products(ws, of_mixes);
    product(ws, to_floats(ws, ws.inner.data(), at.decay_lora.up, ws.w.data()));
    kernels_.wkv6_decay({ws.rows(), config_.channels, ws.w.data(), at.decay.data()}, ws.stream);
  }

  void pass_state(Workspace& workspace, Index layer, Index first_part, Index parts, In state, Out next_state) const override {
    auto& ws = self(workspace);
    kernels_.wkv6({ws.rows(), config_.heads, config_.head_size, first_part, parts, ws.r.data(), ws.w.data(), config_.channels,
                   ws.k.data(), ws.v.data(), layers_[layer].bonus.data(), ws.y.data(), ws.segment_count(), ws.segments.data(),
                   state, next_state, ws.phase, precision_},
                  ws.stream);
  }

  void read_out(Workspace& workspace, Index layer) const override {
    auto& ws = self(workspace);
    gated_read_out(ws, layers_[layer].ln_x, ws.g, layers_[layer].output);
  }

 private:
  static Rwkv6Workspace& self(Workspace& workspace) { return static_cast<Rwkv6Workspace&>(workspace); }

  const Norm& time_norm(Index layer) const override { return layers_[layer].ln1; }

  // The five lerps: normal + change * (mu[q] + tanh(x_x w1)[q] w2[q]).
  void mix_by_token(Rwkv6Workspace& ws, const Layer& at) const {
    const Index R = config_.rank_shift;
    product(ws, to_operands(ws, ws.mix[0].data(), at.shift_down, ws.inner.data(), Epilogue::tanh));
    const auto deltas = ws.deltas();
    std::array<const float*, kLerps> mu, delta;
    std::array<void*, kLerps> out;
    std::array<kernels::MatmulArgs, kLerps> up;
    for (Index q = 0; q < kLerps; ++q) {
      up[q] = to_floats(ws, ws.inner.data() + q * R * size_of(precision_), at.shift_up[q], deltas[q]);
      up[q].x_stride = kLerps * R;
      mu[q] = at.mu[q].data(), delta[q] = deltas[q], out[q] = ws.mix[q].data();
    }
    products(ws, up);
    kernels_.dynamic_mix({ws.rows(), config_.channels, ws.normal(), ws.change.data(), kLerps, mu.data(), delta.data(), out.data(),
                          precision_},
                         ws.stream);
  }

  Layer load_layer(WeightLoader& load, Index number) const {
    const Index D = config_.channels, H = config_.heads, N = config_.head_size, R = config_.rank_shift;
    const std::string block = concat("blocks.", number, "."), att = block + "att.";
    Layer layer;
    layer.ln1 = load_norm(load, block + "ln1", D);
    layer.ln_x = load_norm(load, att + "ln_x", D);
    layer.mu_x = load.vector(att + "time_maa_x", {D});
    static constexpr const char* lerps[] = {"time_maa_w", "time_maa_k", "time_maa_v", "time_maa_r", "time_maa_g"};
    for (int q = 0; q < kLerps; ++q) layer.mu[q] = load.vector(att + lerps[q], {D});
    layer.shift_down = load.transposed_matrix(att + "time_maa_w1", kLerps * R, D);
    layer.shift_up = load.transposed_matrices(att + "time_maa_w2", kLerps, D, R);
    layer.decay = load.vector(att + "time_decay", {D});
    layer.decay_lora = {load.transposed_matrix(att + "time_decay_w1", config_.rank_decay, D),
                        load.transposed_matrix(att + "time_decay_w2", D, config_.rank_decay)};
    layer.bonus = load.vector(att + "time_faaaa", {H, N});
    layer.receptance = load.matrix(att + "receptance.weight", D, D);
    layer.key = load.matrix(att + "key.weight", D, D);
    layer.value = load.matrix(att + "value.weight", D, D);
    layer.gate = load.matrix(att + "gate.weight", D, D);
    layer.output = load.matrix(att + "output.weight", D, D);
    return layer;
  }

  std::vector<Layer> layers_;
};

void complete_rwkv6_config(const checkpoint::Checkpoint& file, Config& config) {
  set_heads_by_shape(file, "blocks.0.att.time_faaaa", config);
  const Index columns = dimension(file, "blocks.0.att.time_maa_w1", 1);
  RR_CHECK_INPUT(columns % kLerps == 0, file.path(), ": blocks.0.att.time_maa_w1 has ", columns,
                 " columns, not a multiple of 5");
  config.rank_shift = columns / kLerps;
  config.rank_decay = dimension(file, "blocks.0.att.time_decay_w1", 1);
}

Cost rwkv6_cost(const Config& c, DType operand, DType weights) {
  const double D = c.channels, F = c.ffn;
  LayerCost layer;
  layer.small_elements = 2 * D * (kLerps * c.rank_shift + c.rank_decay);
  layer.matrix_elements = 6 * D * D + 2 * D * F + layer.small_elements;
  layer.state_flops = 7 * D * c.head_size;
  layer.float_width = 8 * c.channels;
  layer.inner_width = inner_width(c);
  layer.operand_width = kLerps * c.channels + layer.inner_width;
  layer.vector_elements = 16 * D;
  return make_cost(c, operand, weights, layer);
}

}  // namespace

const Generation kRwkv6 = {"rwkv6", true, complete_rwkv6_config, head_state_shape, rwkv6_cost, load_network<Rwkv6>};

}  // namespace riverrun::model
