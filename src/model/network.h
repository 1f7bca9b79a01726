// Network: what the RWKV generations share around and inside their layers.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "model/generation.h"
#include "model/weights.h"

namespace riverrun::model {

using kernels::Epilogue;
using Matrix = std::unique_ptr<kernels::PackedMatrix>;

struct Norm {
  Array<float> weight, bias;  // [D]
};

// y = up(activation(down(x))): [D, rank] and [rank, D] in the file.
struct Lora {
  Matrix down, up;
};

// Rows of logits held at once where they are scored: 32 MiB for the World vocabulary.
inline constexpr Index kLogitRows = 128;

// The activations that every generation has; a generation's own workspace adds to them through floats() and operands().
class NetworkWorkspace : public Workspace {
 public:
  // `mixes`: outputs of token shift in use at once; `inner_width`: the widest inner row of a feed-forward or LoRA.
  NetworkWorkspace(const Config& config, Index most_rows, DType operand, Stream on, kernels::Phase in, Index mixes, Index inner_width);

  Index bytes() const final { return bytes_ + logits.size() * Index{sizeof(float)}; }
  Index rows() const { return segments.empty() ? 0 : segments.back().end; }
  Index segment_count() const { return static_cast<Index>(segments.size()); }

  Index capacity;
  Stream stream;
  kernels::Phase phase;
  Array<TokenId> ids;
  Array<TokenId> chosen;    // [kLogitRows] targets; the first is the id of first_layer_row, too
  std::vector<kernels::Segment> segments;
  Array<float> x;           // [M, D] residual stream
  Array<float> r, k, v;     // [M, D] operands of the recurrence
  Array<float> y;           // [M, D] what it gives
  std::vector<Buffer> mix;  // [M, D] in the operand type
  Buffer inner;             // [M, inner_width] in the operand type
  Array<float> logits;      // [kLogitRows, V], made when first needed
  Array<float> row;         // [D]

 protected:
  // [capacity, width], counted in bytes().
  Array<float> floats(Index width);
  Buffer operands(Index width);

 private:
  DType operand_;
  Index bytes_ = 0;
};

class Network : public Model {
 public:
  Index weight_bytes() const final { return weight_bytes_; }
  void take_in(Workspace& workspace, std::span<const TokenId> ids, std::span<const kernels::Segment> segments) const final;
  void embed_block(Workspace& workspace) const override;
  void first_layer_row(Workspace& workspace, TokenId id, float* row) const final;
  void residual(Workspace& workspace, Index first, Index rows, float* out) const final;
  void hidden(Workspace& workspace, Index first, Index rows, float* out) const final;
  void logits(Workspace& workspace, Index first, Index rows, float* out) const final;
  void pick_largest(Workspace& workspace, const kernels::PickLargestArgs& args) const final;
  void draw(Workspace& workspace, const kernels::DrawArgs& args) const final;
  void log_probs(Workspace& workspace, Index first, std::span<const TokenId> targets, float* out) const final;

 protected:
  using WS = NetworkWorkspace;
  static WS& shared(Workspace& workspace) { return static_cast<WS&>(workspace); }

  // Loads what lies outside the layers. A generation's constructor loads its layers, then calls finish_load().
  // The tuned initial state, when there is one, is in place before that.
  Network(const LoadArgs& args, WeightLoader& load, const StateShape& shape);
  void finish_load(WeightLoader& load);

  // LN1 of a layer, which layer 0 hands on before anything else is computed.
  virtual const Norm& time_norm(Index layer) const = 0;

  void embed(WS& ws, Index M, const TokenId* ids, float* x) const;
  // out = LN(emb[token]; ln0) of the block's tokens in the operand type; goes through ws.y.
  void embed_operands(WS& ws, const Buffer& out) const;
  // LayerNorm of the residual stream, token shift, and one lerp into ws.mix per mu.
  void shift_mix(WS& ws, const Norm& norm, In rows, Out next_rows, std::span<const Array<float>> mu, float* normal = nullptr,
                 float* change = nullptr) const;
  // y = epilogue(w x) of the block's rows, x in the operand type: y in fp32, or in the operand type.
  kernels::MatmulArgs to_floats(const WS& ws, const void* x, const Matrix& w, float* y, Epilogue epilogue = Epilogue::none) const;
  kernels::MatmulArgs to_operands(const WS& ws, const void* x, const Matrix& w, void* y, Epilogue epilogue) const;
  // Products that do not depend on one another.
  void products(WS& ws, std::span<const kernels::MatmulArgs> independent) const { kernels_.matmul(independent, ws.stream); }
  void product(WS& ws, const kernels::MatmulArgs& args) const { kernels_.matmul({&args, 1}, ws.stream); }
  // Read-out of RWKV-5 and 6: x += output (GN(y; ln_x) * gate); an empty gate means 1.
  void gated_read_out(WS& ws, const Norm& ln_x, const Array<float>& gate, const Matrix& output) const;

  static Norm load_norm(WeightLoader& load, const std::string& name, Index D);
  // RWKV-4 and 5 store the share of the present token in a lerp: what is kept is that of the previous one.
  static Array<float> load_present_share(WeightLoader& load, const std::string& name, Index D);

  const kernels::KernelTable& kernels_;

 private:
  void final_norm(WS& ws, Index first, Index rows, void* out, DType type) const;

  WeightMemory embedding_;
  DType embedding_type_ = DType::f32;
  Norm ln0_;  // empty when it has been applied to the embedding already
  Norm ln_out_;
  Matrix head_;
  Index weight_bytes_ = 0;
};

// Generation::load of a Network.
template <class Rwkv>
std::unique_ptr<Model> load_network(const LoadArgs& args) {
  WeightLoader load(args.file, args.kernels, args.operand, args.weights, args.stream, args.storage);
  return std::make_unique<Rwkv>(args, load);
}

}  // namespace riverrun::model
