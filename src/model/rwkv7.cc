// RWKV-7 "Goose" (x070): time mix with a generalised delta rule, channel mix without a receptance gate. RWKV-7a adds
// DeepEmbed to the channel mix: a matrix of each token's own, between the two matrices of a LoRA, scales its keys.
//
// Source: arXiv:2503.14456, for 7a the public demo code; tensor names as in the official training code.

#include "model/rwkv7.h"

#include <algorithm>
#include <array>

#include "core/error.h"
#include "model/network.h"

namespace riverrun::model {

namespace {

enum Lerp { kR, kW, kK, kV, kA, kG, kLerps };

// k = relu(K x_k)^2 is multiplied with s2 (E (s1 x)) + s0, where E = s_emb[token] + s_emb_x LN0(emb[token]) is [R, R] and
// x is not shifted.
struct DeepEmbed {
  WeightMemory table; // s_emb.weight [V, R * R], as stored
  DType table_type = DType::f32;
  Matrix from_token;  // s_emb_x.weight [R * R, D]
  Lora pair;          // s1, s2
  Array<float> bias;  // s0 [F]
};

struct Layer {
  Norm ln1, ln2, ln_x;
  std::array<Array<float>, kLerps> mu;
  Array<float> w0, a0, v0, k_k, k_a, r_k;
  Lora w, a, v, g;  // v: not in layer 0
  Matrix receptance, key, value, output;
  std::vector<Array<float>> ffn_mu;  // of the key; for DeepEmbed another, of zeros
  Matrix ffn_key, ffn_value;
  DeepEmbed embed;  // only in 7a
};

class Rwkv7Workspace : public NetworkWorkspace {
 public:
  Rwkv7Workspace(const Config& c, Index most_rows, DType operand, Stream on, kernels::Phase in)
      : NetworkWorkspace(c, most_rows, operand, on, in, kLerps, rwkv7_inner_width(c)) {
    for (auto* array : {&w, &a, &b, &g, &v_first, &v_mix}) *array = floats(c.channels);
    if (c.rank_embed == 0) return;
    embedded = operands(c.channels);
    token_matrix = floats(c.rank_embed * c.rank_embed);
    query = floats(c.rank_embed);
    for (auto* array : {&ffn_key, &ffn_scale}) *array = floats(c.ffn);
  }

  Array<float> w, a, b, g;  // [M, D] operands of the recurrence and the gate
  Array<float> v_first;     // [M, D] values of layer 0; belongs to a token, not to the state
  Array<float> v_mix;       // [M, D]

  // For DeepEmbed alone, else empty.
  Buffer embedded;                 // [M, D] LN0 of the embedding, in the operand type
  Array<float> token_matrix;       // [M, R * R]
  Array<float> query;              // [M, R]
  Array<float> ffn_key, ffn_scale;  // [M, F]
};

class Rwkv7 : public Network {
 public:
  Rwkv7(const LoadArgs& args, WeightLoader& load) : Network(args, load, head_state_shape(args.config)) {
    for (Index layer = 0; layer < config_.layers; ++layer) layers_.push_back(load_layer(load, layer));
    finish_load(load);
  }

  std::unique_ptr<Workspace> make_workspace(Index capacity, Stream stream, Phase phase) const override {
    return std::make_unique<Rwkv7Workspace>(config_, capacity, precision_, stream, phase);
  }

  void embed_block(Workspace& workspace) const override {
    Network::embed_block(workspace);
    if (deep()) embed_operands(self(workspace), self(workspace).embedded);
  }

  void mix_time(Workspace& workspace, Index layer, In rows, Out next_rows) const override {
    shift_mix(self(workspace), layers_[layer].ln1, rows, next_rows, layers_[layer].mu);
  }

  void project(Workspace& workspace, Index layer) const override {
    auto& ws = self(workspace);
    const Layer& at = layers_[layer];
    float* const v = values(ws, layer);
    const bool first = layer == 0;
    const std::size_t loras = first ? 3 : 4;
    const auto inner = lora_rows(ws);
    const std::array down = {
        to_floats(ws, ws.mix[kR].data(), at.receptance, ws.r.data()), to_floats(ws, ws.mix[kK].data(), at.key, ws.k.data()),
        to_floats(ws, ws.mix[kV].data(), at.value, v), to_operands(ws, ws.mix[kW].data(), at.w.down, inner.w, Epilogue::tanh),
        to_operands(ws, ws.mix[kA].data(), at.a.down, inner.a, Epilogue::none),
        to_operands(ws, ws.mix[kG].data(), at.g.down, inner.g, Epilogue::sigmoid),
        to_operands(ws, ws.mix[kV].data(), at.v.down, inner.v, Epilogue::none)};
    products(ws, std::span(down).first(3 + loras));
    const std::array up = {to_floats(ws, inner.w, at.w.up, ws.w.data()), to_floats(ws, inner.a, at.a.up, ws.a.data()),
                           to_floats(ws, inner.g, at.g.up, ws.g.data()), to_floats(ws, inner.v, at.v.up, ws.v_mix.data())};
    products(ws, std::span(up).first(loras));
    kernels_.wkv7_inputs({ws.rows(), config_.heads, config_.head_size, ws.w.data(), ws.k.data(), v, ws.a.data(), ws.b.data(),
                          first ? nullptr : ws.v_mix.data(), first ? nullptr : ws.v_first.data(), at.w0.data(), at.a0.data(),
                          first ? nullptr : at.v0.data(), at.k_k.data(), at.k_a.data()},
                         ws.stream);
  }

  void pass_state(Workspace& workspace, Index layer, Index first_part, Index parts, In state, Out next_state) const override {
    auto& ws = self(workspace);
    kernels_.wkv7({ws.rows(), config_.heads, config_.head_size, first_part, parts, ws.r.data(), ws.w.data(), ws.k.data(),
                   values(ws, layer), ws.a.data(), ws.b.data(), ws.y.data(), ws.segment_count(),
                   ws.segments.data(), state, next_state, ws.phase, precision_},
                  ws.stream);
  }

  void read_out(Workspace& workspace, Index layer) const override {
    auto& ws = self(workspace);
    const Layer& at = layers_[layer];
    kernels_.wkv7_readout({ws.rows(), config_.heads, config_.head_size, ws.y.data(), ws.r.data(), ws.k.data(),
                           values(ws, layer), ws.g.data(), at.r_k.data(), at.ln_x.weight.data(), at.ln_x.bias.data(),
                           config_.group_norm_eps, ws.mix[0].data(), precision_},
                          ws.stream);
    product(ws, to_floats(ws, ws.mix[0].data(), at.output, ws.x.data(), Epilogue::add));
  }

  void mix_channel(Workspace& workspace, Index layer, In rows, Out next_rows) const override {
    shift_mix(self(workspace), layers_[layer].ln2, rows, next_rows, layers_[layer].ffn_mu);
  }

  void feed_forward(Workspace& workspace, Index layer) const override {
    auto& ws = self(workspace);
    const Layer& at = layers_[layer];
    if (deep()) {
      product(ws, to_floats(ws, ws.mix[0].data(), at.ffn_key, ws.ffn_key.data(), Epilogue::relu_squared));
      scale_by_token(ws, at.embed);
    } else {
      product(ws, to_operands(ws, ws.mix[0].data(), at.ffn_key, ws.inner.data(), Epilogue::relu_squared));
    }
    product(ws, to_floats(ws, ws.inner.data(), at.ffn_value, ws.x.data(), Epilogue::add));
  }

 private:
  static Rwkv7Workspace& self(Workspace& workspace) { return static_cast<Rwkv7Workspace&>(workspace); }

  // Inner rows of the LoRAs, [M, rank] each.
  struct LoraRows {
    std::byte *w, *a, *g, *v;
  };
  LoraRows lora_rows(const Rwkv7Workspace& ws) const {
    const auto behind = [&](std::byte* at, Index rank) { return at + ws.capacity * rwkv7_lora_width(rank) * size_of(precision_); };
    std::byte *const w = ws.inner.data(), *const a = behind(w, config_.rank_decay), *const g = behind(a, config_.rank_rate);
    return {w, a, g, behind(g, config_.rank_gate)};
  }

  // Layer 0 makes its values where the later layers read them.
  static float* values(Rwkv7Workspace& ws, Index layer) { return layer == 0 ? ws.v_first.data() : ws.v.data(); }

  bool deep() const { return config_.rank_embed > 0; }

  // ws.inner = ws.ffn_key times the scale that DeepEmbed makes from the unshifted row in ws.mix[1].
  void scale_by_token(Rwkv7Workspace& ws, const DeepEmbed& at) const {
    const Index M = ws.rows(), R = config_.rank_embed;
    kernels_.embed({M, R * R, config_.vocab, ws.ids.data(), at.table.data(), at.table_type, nullptr, nullptr, config_.norm_eps,
                    ws.token_matrix.data()},
                   ws.stream);
    const std::array both = {to_floats(ws, ws.embedded.data(), at.from_token, ws.token_matrix.data(), Epilogue::add),
                             to_floats(ws, ws.mix[1].data(), at.pair.down, ws.query.data())};
    products(ws, both);
    kernels_.token_matrix({M, R, ws.query.data(), ws.token_matrix.data(), ws.inner.data(), precision_}, ws.stream);
    product(ws, to_floats(ws, ws.inner.data(), at.pair.up, ws.ffn_scale.data()));
    kernels_.gate({M, config_.ffn, ws.ffn_key.data(), ws.ffn_scale.data(), at.bias.data(), ws.inner.data(), precision_}, ws.stream);
  }

  const Norm& time_norm(Index layer) const override { return layers_[layer].ln1; }

  Layer load_layer(WeightLoader& load, Index number) const {
    const Index D = config_.channels, H = config_.heads, N = config_.head_size, F = config_.ffn;
    const std::string block = concat("blocks.", number, "."), att = block + "att.", ffn = block + "ffn.";
    const auto lora_pair = [&](const std::string& name, Index rank) {
      return Lora{load.transposed_matrix(att + name + "1", rank, D), load.transposed_matrix(att + name + "2", D, rank)};
    };
    Layer layer;
    layer.ln1 = load_norm(load, block + "ln1", D);
    layer.ln2 = load_norm(load, block + "ln2", D);
    layer.ln_x = load_norm(load, att + "ln_x", D);
    static constexpr const char* lerps[] = {"x_r", "x_w", "x_k", "x_v", "x_a", "x_g"};
    for (int q = 0; q < kLerps; ++q) layer.mu[q] = load.vector(att + lerps[q], {D});
    layer.w0 = load.vector(att + "w0", {D});
    layer.a0 = load.vector(att + "a0", {D});
    layer.k_k = load.vector(att + "k_k", {D});
    layer.k_a = load.vector(att + "k_a", {D});
    layer.r_k = load.vector(att + "r_k", {H, N});
    layer.w = lora_pair("w", config_.rank_decay);
    layer.a = lora_pair("a", config_.rank_rate);
    layer.g = lora_pair("g", config_.rank_gate);
    if (number == 0) {  // it makes v_first; its own v0, v1, v2, if stored at all, mean nothing
      for (const char* name : {"v0", "v1", "v2"}) load.ignore(att + name);
    } else {
      layer.v0 = load.vector(att + "v0", {D});
      layer.v = lora_pair("v", config_.rank_value);
    }
    layer.receptance = load.matrix(att + "receptance.weight", D, D);
    layer.key = load.matrix(att + "key.weight", D, D);
    layer.value = load.matrix(att + "value.weight", D, D);
    layer.output = load.matrix(att + "output.weight", D, D);
    layer.ffn_mu.push_back(load.vector(ffn + "x_k", {D}));
    layer.ffn_key = load.matrix(ffn + "key.weight", F, D);
    layer.ffn_value = load.matrix(ffn + "value.weight", D, F);
    if (deep()) {
      layer.ffn_mu.push_back(load.to_device(Array<float>(D, 0.0f)));
      layer.embed = load_deep_embed(load, ffn);
    }
    return layer;
  }

  DeepEmbed load_deep_embed(WeightLoader& load, const std::string& ffn) const {
    const Index D = config_.channels, F = config_.ffn, R = config_.rank_embed;
    DeepEmbed embed;
    embed.table = load.table(ffn + "s_emb.weight", config_.vocab, R * R, embed.table_type);
    embed.from_token = load.small_matrix(ffn + "s_emb_x.weight", R * R, D);
    embed.pair = {load.transposed_matrix(ffn + "s1", R, D), load.transposed_matrix(ffn + "s2", F, R)};
    embed.bias = load.vector(ffn + "s0", {F});
    return embed;
  }

  std::vector<Layer> layers_;
};

}  // namespace

const Generation kRwkv7 = {"rwkv7", true, complete_rwkv7_config, head_state_shape, rwkv7_cost, load_network<Rwkv7>};
const Generation kRwkv7a = {"rwkv7a", true, complete_rwkv7a_config, head_state_shape, rwkv7_cost, load_network<Rwkv7>};

}  // namespace riverrun::model
