// RWKV-7 "Goose" (x070): time mix with a generalised delta rule, channel mix without a receptance gate.
//
// Source: arXiv:2503.14456; tensor names as in the official training code.

#include "model/rwkv7.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "core/error.h"
#include "model/weights.h"

namespace riverrun::model {

namespace {

using kernels::Epilogue;
using kernels::PackedMatrix;
using Matrix = std::unique_ptr<PackedMatrix>;

enum Lerp { kR, kW, kK, kV, kA, kG, kLerps };
constexpr Index kLogitRows = 128;  // rows of logits held at once: 32 MiB for the World vocabulary

struct Norm {
  Array<float> weight, bias;
};

// y = up(activation(down(x))): [D, rank] and [rank, D] in the file.
struct Lora {
  Matrix down, up;
};

struct Layer {
  Norm ln1, ln2, ln_x;
  std::array<Array<float>, kLerps> mu;
  Array<float> w0, a0, v0, k_k, k_a, r_k;
  Lora w, a, v, g;  // v: not in layer 0
  Matrix receptance, key, value, output;
  Array<float> ffn_mu;
  Matrix ffn_key, ffn_value;
};

class Rwkv7Workspace : public Workspace {
 public:
  Rwkv7Workspace(const Config& c, Index rows, DType operand, Stream on)
      : capacity(rows), stream(on), ids(rows), segments() {
    const Index full = rows * c.channels;
    for (auto* array : {&x, &r, &w, &k, &v, &v_first, &a, &b, &v_mix, &g, &y}) *array = Array<float>(full);
    for (auto& mixed : mix) mixed = Buffer(full * size_of(operand));
    const Index rank = std::max({c.rank_decay, c.rank_rate, c.rank_value, c.rank_gate});
    inner = Buffer(rows * std::max(rank, c.ffn) * size_of(operand));
    row = Array<float>(c.channels);
  }

  Index bytes() const override {
    Index total = inner.bytes() + logits.size() * 4;
    for (const auto* array : {&x, &r, &w, &k, &v, &v_first, &a, &b, &v_mix, &g, &y}) total += array->size() * 4;
    for (const auto& mixed : mix) total += mixed.bytes();
    return total;
  }

  Index rows() const { return segments.empty() ? 0 : segments.back().end; }

  Index capacity;
  Stream stream;
  Array<TokenId> ids;
  std::vector<kernels::Segment> segments;
  Array<float> x;                    // [M, D] residual stream
  std::array<Buffer, kLerps> mix;    // [M, D] in the operand type
  Array<float> r, w, k, v, a, b, g;  // [M, D] operands of the recurrence and the gate
  Array<float> v_first;              // [M, D] values of layer 0; belongs to a token, not to the state
  Array<float> v_mix, y;             // [M, D]
  Buffer inner;                      // [M, rank or F] in the operand type
  Array<float> logits;               // [kLogitRows, V], made when first needed
  Array<float> row;                  // [D]
};

class Rwkv7 : public Model {
 public:
  Rwkv7(const checkpoint::Checkpoint& file, const Config& config, const kernels::KernelTable& kernels, Stream stream,
        DType operand, bool need_head)
      : Model(config, rwkv7_state_shape(config), operand), kernels_(kernels) {
    WeightLoader load(file, kernels, operand, stream);
    const Index D = config.channels;
    embedding_ = load.table("emb.weight", config.vocab, D, embedding_type_);
    ln0_ = norm(load, "blocks.0.ln0", D);
    for (Index layer = 0; layer < config.layers; ++layer) layers_.push_back(load_layer(load, layer));
    ln_out_ = norm(load, "ln_out", D);
    if (need_head) head_ = load.matrix("head.weight", config.vocab, D);
    weight_bytes_ = load.bytes();
  }

  Index weight_bytes() const override { return weight_bytes_; }

  std::unique_ptr<Workspace> make_workspace(Index capacity, Stream stream) const override {
    return std::make_unique<Rwkv7Workspace>(config_, capacity, precision_, stream);
  }

  void start(Workspace& workspace, std::span<const TokenId> ids, std::span<const kernels::Segment> segments) const override {
    auto& ws = self(workspace);
    const Index M = static_cast<Index>(ids.size());
    RR_CHECK(M <= ws.capacity && !segments.empty() && segments.back().end == M, "a block of ", M, " tokens");
    std::copy(ids.begin(), ids.end(), ws.ids.data());
    ws.segments.assign(segments.begin(), segments.end());
    embed(ws, M, ws.ids.data(), ws.x.data());
  }

  void mix_time(Workspace& workspace, Index layer, In rows, Out next_rows) const override {
    auto& ws = self(workspace);
    const Layer& at = layers_[layer];
    std::array<const float*, kLerps> mu;
    std::array<void*, kLerps> out;
    for (int q = 0; q < kLerps; ++q) mu[q] = at.mu[q].data(), out[q] = ws.mix[q].data();
    shift_mix(ws, at.ln1, rows, next_rows, kLerps, mu.data(), out.data());
  }

  void project(Workspace& workspace, Index layer) const override {
    auto& ws = self(workspace);
    const Layer& at = layers_[layer];
    float* const v = values(ws, layer);
    product(ws, ws.mix[kR], *at.receptance, ws.r.data());
    product(ws, ws.mix[kK], *at.key, ws.k.data());
    product(ws, ws.mix[kV], *at.value, v);
    lora(ws, ws.mix[kW], at.w, Epilogue::tanh, ws.w.data());
    lora(ws, ws.mix[kA], at.a, Epilogue::none, ws.a.data());
    lora(ws, ws.mix[kG], at.g, Epilogue::sigmoid, ws.g.data());
    const bool first = layer == 0;
    if (!first) lora(ws, ws.mix[kV], at.v, Epilogue::none, ws.v_mix.data());
    kernels_.wkv7_inputs({ws.rows(), config_.heads, config_.head_size, ws.w.data(), ws.k.data(), v, ws.a.data(), ws.b.data(),
                          first ? nullptr : ws.v_mix.data(), first ? nullptr : ws.v_first.data(), at.w0.data(), at.a0.data(),
                          first ? nullptr : at.v0.data(), at.k_k.data(), at.k_a.data()},
                         ws.stream);
  }

  void pass_state(Workspace& workspace, Index layer, Index first_part, Index parts, In state, Out next_state) const override {
    auto& ws = self(workspace);
    kernels_.wkv7({ws.rows(), config_.heads, config_.head_size, first_part, parts, ws.r.data(), ws.w.data(), ws.k.data(),
                   values(ws, layer), ws.a.data(), ws.b.data(), ws.y.data(), static_cast<Index>(ws.segments.size()),
                   ws.segments.data(), state, next_state},
                  ws.stream);
  }

  void read_out(Workspace& workspace, Index layer) const override {
    auto& ws = self(workspace);
    const Layer& at = layers_[layer];
    kernels_.wkv7_readout({ws.rows(), config_.heads, config_.head_size, ws.y.data(), ws.r.data(), ws.k.data(),
                           values(ws, layer), ws.g.data(), at.r_k.data(), at.ln_x.weight.data(), at.ln_x.bias.data(),
                           config_.group_norm_eps, ws.mix[0].data(), precision_},
                          ws.stream);
    product(ws, ws.mix[0], *at.output, ws.x.data(), Epilogue::add);
  }

  void mix_channel(Workspace& workspace, Index layer, In rows, Out next_rows) const override {
    auto& ws = self(workspace);
    const float* const mu = layers_[layer].ffn_mu.data();
    void* const out = ws.mix[0].data();
    shift_mix(ws, layers_[layer].ln2, rows, next_rows, 1, &mu, &out);
  }

  void feed_forward(Workspace& workspace, Index layer) const override {
    auto& ws = self(workspace);
    const Layer& at = layers_[layer];
    kernels_.matmul({ws.rows(), ws.mix[0].data(), at.ffn_key.get(), ws.inner.data(), precision_, Epilogue::relu_squared},
                    ws.stream);
    product(ws, ws.inner, *at.ffn_value, ws.x.data(), Epilogue::add);
  }

  void first_layer_row(Workspace& workspace, TokenId id, float* row) const override {
    auto& ws = self(workspace);
    embed(ws, 1, &id, ws.row.data());
    kernels_.layer_norm({1, config_.channels, ws.row.data(), layers_[0].ln1.weight.data(), layers_[0].ln1.bias.data(),
                         config_.norm_eps, row, DType::f32},
                        ws.stream);
  }

  void hidden(Workspace& workspace, Index first, Index rows, float* out) const override {
    auto& ws = self(workspace);
    kernels_.layer_norm({rows, config_.channels, ws.x.data() + first * config_.channels, ln_out_.weight.data(),
                         ln_out_.bias.data(), config_.norm_eps, out, DType::f32},
                        ws.stream);
  }

  void log_probs(Workspace& workspace, Index first, std::span<const TokenId> targets, float* out) const override {
    auto& ws = self(workspace);
    RR_CHECK(head_ != nullptr, "log_probs without a head");
    if (ws.logits.size() == 0) ws.logits = Array<float>(kLogitRows * config_.vocab);
    const Index D = config_.channels, total = static_cast<Index>(targets.size());
    for (Index done = 0; done < total; done += kLogitRows) {
      const Index rows = std::min(kLogitRows, total - done);
      kernels_.layer_norm({rows, D, ws.x.data() + (first + done) * D, ln_out_.weight.data(), ln_out_.bias.data(),
                           config_.norm_eps, ws.mix[0].data(), precision_},
                          ws.stream);
      kernels_.matmul({rows, ws.mix[0].data(), head_.get(), ws.logits.data(), DType::f32, Epilogue::none}, ws.stream);
      kernels_.log_prob({rows, config_.vocab, ws.logits.data(), targets.data() + done, out + done}, ws.stream);
    }
  }

 private:
  static Rwkv7Workspace& self(Workspace& workspace) { return static_cast<Rwkv7Workspace&>(workspace); }

  // Layer 0 makes its values where the later layers read them.
  static float* values(Rwkv7Workspace& ws, Index layer) { return layer == 0 ? ws.v_first.data() : ws.v.data(); }

  void embed(Rwkv7Workspace& ws, Index M, const TokenId* ids, float* x) const {
    kernels_.embed({M, config_.channels, config_.vocab, ids, embedding_.data(), embedding_type_, ln0_.weight.data(),
                    ln0_.bias.data(), config_.norm_eps, x},
                   ws.stream);
  }

  void product(Rwkv7Workspace& ws, const Buffer& x, const PackedMatrix& w, float* y, Epilogue epilogue = Epilogue::none) const {
    kernels_.matmul({ws.rows(), x.data(), &w, y, DType::f32, epilogue}, ws.stream);
  }

  void lora(Rwkv7Workspace& ws, const Buffer& x, const Lora& pair, Epilogue activation, float* y) const {
    kernels_.matmul({ws.rows(), x.data(), pair.down.get(), ws.inner.data(), precision_, activation}, ws.stream);
    product(ws, ws.inner, *pair.up, y);
  }

  void shift_mix(Rwkv7Workspace& ws, const Norm& ln, In rows, Out next_rows, Index mixes, const float* const* mu,
                 void* const* out) const {
    kernels_.shift_mix({ws.rows(), config_.channels, ws.x.data(), ln.weight.data(), ln.bias.data(), config_.norm_eps,
                        static_cast<Index>(ws.segments.size()), ws.segments.data(), rows, next_rows, mixes, mu, out, precision_},
                       ws.stream);
  }

  static Norm norm(WeightLoader& load, const std::string& name, Index D) {
    return {load.vector(name + ".weight", {D}), load.vector(name + ".bias", {D})};
  }

  Layer load_layer(WeightLoader& load, Index number) const {
    const Index D = config_.channels, H = config_.heads, N = config_.head_size, F = config_.ffn;
    const std::string block = concat("blocks.", number, "."), att = block + "att.", ffn = block + "ffn.";
    const auto lora_pair = [&](const std::string& name, Index rank) {
      return Lora{load.transposed_matrix(att + name + "1", rank, D), load.transposed_matrix(att + name + "2", D, rank)};
    };
    Layer layer;
    layer.ln1 = norm(load, block + "ln1", D);
    layer.ln2 = norm(load, block + "ln2", D);
    layer.ln_x = norm(load, att + "ln_x", D);
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
    if (number != 0) {  // block 0 makes v_first; its own v0, v1, v2, if stored at all, mean nothing
      layer.v0 = load.vector(att + "v0", {D});
      layer.v = lora_pair("v", config_.rank_value);
    }
    layer.receptance = load.matrix(att + "receptance.weight", D, D);
    layer.key = load.matrix(att + "key.weight", D, D);
    layer.value = load.matrix(att + "value.weight", D, D);
    layer.output = load.matrix(att + "output.weight", D, D);
    layer.ffn_mu = load.vector(ffn + "x_k", {D});
    layer.ffn_key = load.matrix(ffn + "key.weight", F, D);
    layer.ffn_value = load.matrix(ffn + "value.weight", D, F);
    return layer;
  }

  const kernels::KernelTable& kernels_;
  Buffer embedding_;
  DType embedding_type_;
  Norm ln0_, ln_out_;
  std::vector<Layer> layers_;
  Matrix head_;
  Index weight_bytes_ = 0;
};

}  // namespace

std::unique_ptr<Model> load_rwkv7(const checkpoint::Checkpoint& file, const Config& config, const kernels::KernelTable& kernels,
                                  Stream stream, DType operand, bool need_head) {
  return std::make_unique<Rwkv7>(file, config, kernels, stream, operand, need_head);
}

}  // namespace riverrun::model
