#include "model/gated_network.h"

#include "core/error.h"

namespace riverrun::model {

void GatedNetwork::mix_channel(Workspace& workspace, Index layer, In rows, Out next_rows) const {
  const ChannelMix& at = channel_mixes_[layer];
  shift_mix(shared(workspace), at.norm, rows, next_rows, at.mu);
}

void GatedNetwork::feed_forward(Workspace& workspace, Index layer) const {
  auto& ws = shared(workspace);
  const ChannelMix& at = channel_mixes_[layer];
  const std::array of_mixes = {to_floats(ws, ws.mix[ChannelMix::kR].data(), at.receptance, ws.r.data(), Epilogue::sigmoid),
                               to_operands(ws, ws.mix[ChannelMix::kK].data(), at.key, ws.inner.data(), Epilogue::relu_squared)};
  products(ws, of_mixes);
  product(ws, to_floats(ws, ws.inner.data(), at.value, ws.y.data()));
  kernels_.gate_add({ws.rows(), config_.channels, ws.r.data(), ws.y.data(), ws.x.data()}, ws.stream);
}

void GatedNetwork::load_channel_mix(WeightLoader& load, Share share) {
  const Index D = config_.channels, F = config_.ffn;
  const std::string block = concat("blocks.", channel_mixes_.size(), "."), ffn = block + "ffn.";
  const auto load_lerp = [&](const std::string& of) {
    return share == Share::present ? load_present_share(load, ffn + "time_mix_" + of, D) : load.vector(ffn + "time_maa_" + of, {D});
  };
  ChannelMix& mix = channel_mixes_.emplace_back();
  mix.norm = load_norm(load, block + "ln2", D);
  mix.mu[ChannelMix::kK] = load_lerp("k");
  mix.mu[ChannelMix::kR] = load_lerp("r");
  mix.key = load.matrix(ffn + "key.weight", F, D);
  mix.receptance = load.matrix(ffn + "receptance.weight", D, D);
  mix.value = load.matrix(ffn + "value.weight", D, F);
}

}  // namespace riverrun::model
