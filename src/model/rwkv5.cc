// RWKV-5 "Eagle": time mix with a matrix-valued state per head that decays at a fixed rate.
//
// Source: arXiv:2404.05892; tensor names as in the official training code.

#include "model/rwkv5.h"

#include <array>
#include <cmath>

#include "core/error.h"
#include "model/gated_network.h"

namespace riverrun::model {

namespace {

enum Lerp { kK, kV, kR, kG, kLerps };

struct Layer {
  Norm ln1, ln_x;
  std::array<Array<float>, kLerps> mu;  // kG: not in 5.0
  Array<float> decay, bonus;            // [D]
  Matrix receptance, key, value, output;
  Matrix gate;  // not in 5.0
};

bool gated(const Config& config) { return config.generation != "rwkv5.0"; }
bool per_channel(const Config& config) { return config.generation == "rwkv5.2"; }

class Rwkv5Workspace : public NetworkWorkspace {
 public:
  Rwkv5Workspace(const Config& c, Index most_rows, DType operand, Stream on, kernels::Phase in)
      : NetworkWorkspace(c, most_rows, operand, on, in, gated(c) ? kLerps : kG, c.ffn) {
    if (gated(c)) g = floats(c.channels);
  }

  Array<float> g;  // [M, D], or empty
};

class Rwkv5 : public GatedNetwork {
 public:
  Rwkv5(const LoadArgs& args, WeightLoader& load) : GatedNetwork(args, load, head_state_shape(args.config)) {
    for (Index layer = 0; layer < config_.layers; ++layer) {
      layers_.push_back(load_layer(load, layer));
      load_channel_mix(load, Share::present);
    }
    finish_load(load);
  }

  std::unique_ptr<Workspace> make_workspace(Index capacity, Stream stream, Phase phase) const override {
    return std::make_unique<Rwkv5Workspace>(config_, capacity, precision_, stream, phase);
  }

  void mix_time(Workspace& workspace, Index layer, In rows, Out next_rows) const override {
    auto& ws = self(workspace);
    shift_mix(ws, layers_[layer].ln1, rows, next_rows, {layers_[layer].mu.data(), ws.mix.size()});
  }

  void project(Workspace& workspace, Index layer) const override {
    auto& ws = self(workspace);
    const Layer& at = layers_[layer];
    std::vector of_mixes = {to_floats(ws, ws.mix[kR].data(), at.receptance, ws.r.data()),
                            to_floats(ws, ws.mix[kK].data(), at.key, ws.k.data()), to_floats(ws, ws.mix[kV].data(), at.value, ws.v.data())};
    if (at.gate != nullptr) of_mixes.push_back(to_floats(ws, ws.mix[kG].data(), at.gate, ws.g.data(), Epilogue::silu));
    products(ws, of_mixes);
  }

  void pass_state(Workspace& workspace, Index layer, Index first_part, Index parts, In state, Out next_state) const override {
    auto& ws = self(workspace);
    const Layer& at = layers_[layer];
    constexpr Index kSameForAllTokens = 0;
    kernels_.wkv6({ws.rows(), config_.heads, config_.head_size, first_part, parts, ws.r.data(), at.decay.data(), kSameForAllTokens,
                   ws.k.data(), ws.v.data(), at.bonus.data(), ws.y.data(), ws.segment_count(), ws.segments.data(), state,
                   next_state, ws.phase, precision_},
                  ws.stream);
  }

  void read_out(Workspace& workspace, Index layer) const override {
    auto& ws = self(workspace);
    gated_read_out(ws, layers_[layer].ln_x, ws.g, layers_[layer].output);
  }

 private:
  static Rwkv5Workspace& self(Workspace& workspace) { return static_cast<Rwkv5Workspace&>(workspace); }

  const Norm& time_norm(Index layer) const override { return layers_[layer].ln1; }

  // One number per channel, from the file's one per channel (5.2) or per head; in the host's memory.
  Array<float> load_spread(WeightLoader& load, const std::string& name) const {
    const Index D = config_.channels, H = config_.heads, N = config_.head_size;
    if (per_channel(config_)) return load.host_vector(name, {H, N});
    const Array<float> per_head = load.host_vector(name, {H});
    Array<float> spread(D);
    for (Index d = 0; d < D; ++d) spread[d] = per_head[d / N];
    return spread;
  }

  // 5.0 has either name: `time_first` is the logarithm of the bonus, `time_faaaa` the bonus itself.
  Array<float> load_bonus(WeightLoader& load, const std::string& att, bool logarithm) const {
    Array<float> bonus = load_spread(load, att + (logarithm ? "time_first" : "time_faaaa"));
    if (logarithm) {
      for (float& u : bonus.span()) u = std::exp(u);
    }
    return load.to_device(std::move(bonus));
  }

  Layer load_layer(WeightLoader& load, Index number) const {
    const Index D = config_.channels;
    const std::string block = concat("blocks.", number, "."), att = block + "att.";
    Layer layer;
    layer.ln1 = load_norm(load, block + "ln1", D);
    layer.ln_x = load_norm(load, att + "ln_x", D);
    layer.mu[kK] = load_present_share(load, att + "time_mix_k", D);
    layer.mu[kV] = load_present_share(load, att + "time_mix_v", D);
    layer.mu[kR] = load_present_share(load, att + "time_mix_r", D);
    Array<float> decay = load_spread(load, att + "time_decay");
    for (float& w : decay.span()) w = static_cast<float>(std::exp(-std::exp(double{w})));
    layer.decay = load.to_device(std::move(decay));
    layer.bonus = load_bonus(load, att, !gated(config_) && load.has(att + "time_first"));
    layer.receptance = load.matrix(att + "receptance.weight", D, D);
    layer.key = load.matrix(att + "key.weight", D, D);
    layer.value = load.matrix(att + "value.weight", D, D);
    layer.output = load.matrix(att + "output.weight", D, D);
    if (gated(config_)) {
      layer.mu[kG] = load_present_share(load, att + "time_mix_g", D);
      layer.gate = load.matrix(att + "gate.weight", D, D);
    }
    return layer;
  }

  std::vector<Layer> layers_;
};

void complete_rwkv5_config(const checkpoint::Checkpoint& file, Config& config) {
  const char* const decay = "blocks.0.att.time_decay";
  const checkpoint::Tensor& tensor = *file.find(decay);  // without one it would not be an RWKV-5
  set_heads(file, decay, per_channel(config) ? tensor.shape[0] : tensor.size(), config);
}

Cost rwkv5_cost(const Config& c, DType operand, DType weights) {
  const double D = c.channels, F = c.ffn;
  const bool gate = gated(c);
  LayerCost layer;
  layer.matrix_elements = (gate ? 6 : 5) * D * D + 2 * D * F;
  layer.state_flops = 7 * D * c.head_size;
  layer.float_width = (gate ? 6 : 5) * c.channels;
  layer.operand_width = (gate ? kLerps : kG) * c.channels + c.ffn;
  layer.inner_width = c.ffn;
  layer.vector_elements = (gate ? 14 : 13) * D;
  return make_cost(c, operand, weights, layer);
}

}  // namespace

const Generation kRwkv50 = {"rwkv5.0", false, complete_rwkv5_config, head_state_shape, rwkv5_cost, load_network<Rwkv5>};
const Generation kRwkv51 = {"rwkv5.1", false, complete_rwkv5_config, head_state_shape, rwkv5_cost, load_network<Rwkv5>};
const Generation kRwkv52 = {"rwkv5.2", true, complete_rwkv5_config, head_state_shape, rwkv5_cost, load_network<Rwkv5>};

}  // namespace riverrun::model
