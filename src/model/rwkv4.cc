// RWKV-4 "Dove": time mix is a weighted mean of all values so far, channel by channel; no heads, no gate.
//
// Source: arXiv:2305.13048; tensor names as in the official training code.

#include "model/rwkv4.h"

#include <array>
#include <cmath>

#include "core/error.h"
#include "model/gated_network.h"

namespace riverrun::model {

namespace {

enum Lerp { kK, kV, kR, kLerps };

struct Layer {
  Norm ln1;
  std::array<Array<float>, kLerps> mu;
  Array<float> log_decay, bonus;
  Matrix receptance, key, value, output;
};

StateShape rwkv4_state_shape(const Config& config) { return {config.layers, config.channels, 3, config.channels}; }

class Rwkv4 : public GatedNetwork {
 public:
  Rwkv4(const LoadArgs& args, WeightLoader& load) : GatedNetwork(args, load, rwkv4_state_shape(args.config)) {
    for (Index layer = 0; layer < config_.layers; ++layer) {
      layers_.push_back(load_layer(load, layer));
      load_channel_mix(load, Share::present);
    }
    finish_load(load);
    for (Index layer = 0; layer < config_.layers; ++layer) {
      for (Index d = 0; d < config_.channels; ++d) initial_state_.parts(layer)[3 * d + 2] = kernels::kWkv4NoPast;
    }
  }

  std::unique_ptr<Workspace> make_workspace(Index capacity, Stream stream, Phase phase) const override {
    return std::make_unique<NetworkWorkspace>(config_, capacity, precision_, stream, phase, kLerps, config_.ffn);
  }

  void mix_time(Workspace& workspace, Index layer, In rows, Out next_rows) const override {
    shift_mix(shared(workspace), layers_[layer].ln1, rows, next_rows, layers_[layer].mu);
  }

  void project(Workspace& workspace, Index layer) const override {
    auto& ws = shared(workspace);
    const Layer& at = layers_[layer];
    const std::array of_mixes = {to_floats(ws, ws.mix[kR].data(), at.receptance, ws.r.data(), Epilogue::sigmoid),
                                 to_floats(ws, ws.mix[kK].data(), at.key, ws.k.data()),
                                 to_floats(ws, ws.mix[kV].data(), at.value, ws.v.data())};
    products(ws, of_mixes);
  }

  void pass_state(Workspace& workspace, Index layer, Index first_part, Index parts, In state, Out next_state) const override {
    auto& ws = shared(workspace);
    const Layer& at = layers_[layer];
    kernels_.wkv4({ws.rows(), config_.channels, first_part, parts, ws.k.data(), ws.v.data(), at.log_decay.data(), at.bonus.data(),
                   ws.y.data(), ws.segment_count(), ws.segments.data(), state, next_state, ws.phase},
                  ws.stream);
  }

  void read_out(Workspace& workspace, Index layer) const override {
    auto& ws = shared(workspace);
    kernels_.gate({ws.rows(), config_.channels, ws.r.data(), ws.y.data(), nullptr, ws.mix[0].data(), precision_}, ws.stream);
    product(ws, to_floats(ws, ws.mix[0].data(), layers_[layer].output, ws.x.data(), Epilogue::add));
  }

 private:
  const Norm& time_norm(Index layer) const override { return layers_[layer].ln1; }

  Layer load_layer(WeightLoader& load, Index number) const {
    const Index D = config_.channels;
    const std::string block = concat("blocks.", number, "."), att = block + "att.";
    Layer layer;
    layer.ln1 = load_norm(load, block + "ln1", D);
    layer.mu[kK] = load_present_share(load, att + "time_mix_k", D);
    layer.mu[kV] = load_present_share(load, att + "time_mix_v", D);
    layer.mu[kR] = load_present_share(load, att + "time_mix_r", D);
    Array<float> log_decay = load.host_vector(att + "time_decay", {D});
    for (float& decay : log_decay.span()) decay = -std::exp(decay);
    layer.log_decay = load.to_device(std::move(log_decay));
    layer.bonus = load.vector(att + "time_first", {D});
    layer.receptance = load.matrix(att + "receptance.weight", D, D);
    layer.key = load.matrix(att + "key.weight", D, D);
    layer.value = load.matrix(att + "value.weight", D, D);
    layer.output = load.matrix(att + "output.weight", D, D);
    return layer;
  }

  std::vector<Layer> layers_;
};

void complete_rwkv4_config(const checkpoint::Checkpoint& file, Config& config) {
  const Index attention = dimension(file, "blocks.0.att.key.weight", 0);
  RR_CHECK_INPUT(attention == config.channels, file.path(), ": blocks.0.att.key.weight makes ", attention,
                 " attention channels of ", config.channels, "; riverrun runs RWKV-4 models in which the two are equal");
}

Cost rwkv4_cost(const Config& c, DType operand, DType weights) {
  const double D = c.channels, F = c.ffn;
  LayerCost layer;
  layer.matrix_elements = 5 * D * D + 2 * D * F;
  layer.state_flops = 30 * D;  // four exponentials and a division per channel
  layer.float_width = 5 * c.channels;
  layer.operand_width = kLerps * c.channels + c.ffn;
  layer.inner_width = c.ffn;
  layer.vector_elements = 11 * D;
  return make_cost(c, operand, weights, layer);
}

}  // namespace

const Generation kRwkv4 = {"rwkv4", false, complete_rwkv4_config, rwkv4_state_shape, rwkv4_cost, load_network<Rwkv4>};

}  // namespace riverrun::model
