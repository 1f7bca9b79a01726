#include "model/network.h"

#include <algorithm>
#include <array>

#include "core/error.h"
#include "model/initial_state.h"

namespace riverrun::model {

namespace {

constexpr std::size_t kMostMixes = 6;

}  // namespace

NetworkWorkspace::NetworkWorkspace(const Config& config, Index most_rows, DType operand, Stream on, kernels::Phase in, Index mixes,
                                   Index inner_width)
    : capacity(most_rows), stream(on), phase(in), ids(most_rows, *on.device), chosen(kLogitRows, *on.device), row(config.channels, *on.device),
      operand_(operand) {
  for (auto* array : {&x, &r, &k, &v, &y}) *array = floats(config.channels);
  for (Index q = 0; q < mixes; ++q) mix.push_back(operands(config.channels));
  inner = operands(inner_width);
}

Array<float> NetworkWorkspace::floats(Index width) {
  Array<float> array(capacity * width, *stream.device);
  bytes_ += array.size() * Index{sizeof(float)};
  return array;
}

Buffer NetworkWorkspace::operands(Index width) {
  Buffer buffer(capacity * width * size_of(operand_), *stream.device);
  bytes_ += buffer.bytes();
  return buffer;
}

Network::Network(const LoadArgs& args, WeightLoader& load, const StateShape& shape)
    : Model(args.config, shape, args.operand, args.weights, *args.kernels.device), kernels_(args.kernels) {
  const Index D = config_.channels;
  embedding_ = load.table("emb.weight", config_.vocab, D, embedding_type_);
  if (!args.file.extras().embedding_normalized) ln0_ = load_norm(load, "blocks.0.ln0", D);
  ln_out_ = load_norm(load, "ln_out", D);
  if (args.initial != nullptr) {
    std::ranges::copy(args.initial->values(), initial_state_.values().begin());
    has_tuned_state_ = true;
  }
  if (args.need_head) head_ = load.matrix("head.weight", config_.vocab, D);
}

void Network::finish_load(WeightLoader& load) {
  if (head_ == nullptr) load.ignore("head.weight");
  load.ignore("blocks.0.ln0.weight"), load.ignore("blocks.0.ln0.bias");
  for (Index layer = 0; layer < config_.layers; ++layer) load.ignore(time_state_name(layer));
  load.check_all_taken();
  weight_bytes_ = load.bytes();
}

void Network::take_in(Workspace& workspace, std::span<const TokenId> ids, std::span<const kernels::Segment> segments) const {
  auto& ws = shared(workspace);
  const Index M = static_cast<Index>(ids.size());
  RR_CHECK(M <= ws.capacity && !segments.empty() && segments.back().end == M, "a block of ", M, " tokens");
  device().copy(ws.ids.data(), ids.data(), std::ssize(ids) * Index{sizeof(TokenId)}, ws.stream);
  ws.segments.assign(segments.begin(), segments.end());
}

void Network::embed_block(Workspace& workspace) const {
  auto& ws = shared(workspace);
  embed(ws, ws.rows(), ws.ids.data(), ws.x.data());
}

void Network::first_layer_row(Workspace& workspace, TokenId id, float* row) const {
  auto& ws = shared(workspace);
  device().copy(ws.chosen.data(), &id, sizeof id, ws.stream);
  embed(ws, 1, ws.chosen.data(), ws.row.data());
  const Norm& norm = time_norm(0);
  kernels_.layer_norm({1, config_.channels, ws.row.data(), norm.weight.data(), norm.bias.data(), config_.norm_eps, row, DType::f32},
                      ws.stream);
}

void Network::residual(Workspace& workspace, Index first, Index rows, float* out) const {
  auto& ws = shared(workspace);
  const Index D = config_.channels;
  device().copy(out, ws.x.data() + first * D, rows * D * Index{sizeof(float)}, ws.stream);
}

void Network::hidden(Workspace& workspace, Index first, Index rows, float* out) const {
  final_norm(shared(workspace), first, rows, out, DType::f32);
}

void Network::logits(Workspace& workspace, Index first, Index rows, float* out) const {
  auto& ws = shared(workspace);
  RR_CHECK(head_ != nullptr, "logits without a head");
  final_norm(ws, first, rows, ws.mix[0].data(), precision_);
  product(ws, {rows, ws.mix[0].data(), head_.get(), out, DType::f32, Epilogue::none, 0, ws.phase});
}

void Network::pick_largest(Workspace& workspace, const kernels::PickLargestArgs& args) const {
  kernels_.pick_largest(args, shared(workspace).stream);
}

void Network::draw(Workspace& workspace, const kernels::DrawArgs& args) const { kernels_.draw(args, shared(workspace).stream); }

void Network::log_probs(Workspace& workspace, Index first, std::span<const TokenId> targets, float* out) const {
  auto& ws = shared(workspace);
  if (ws.logits.size() == 0) ws.logits = Array<float>(kLogitRows * config_.vocab, device());
  const Index total = static_cast<Index>(targets.size());
  for (Index done = 0; done < total; done += kLogitRows) {
    const Index rows = std::min(kLogitRows, total - done);
    logits(ws, first + done, rows, ws.logits.data());
    device().copy(ws.chosen.data(), targets.data() + done, rows * Index{sizeof(TokenId)}, ws.stream);
    kernels_.log_prob({rows, config_.vocab, ws.logits.data(), ws.chosen.data(), out + done}, ws.stream);
  }
}

void Network::final_norm(WS& ws, Index first, Index rows, void* out, DType type) const {
  kernels_.layer_norm({rows, config_.channels, ws.x.data() + first * config_.channels, ln_out_.weight.data(), ln_out_.bias.data(),
                       config_.norm_eps, out, type},
                      ws.stream);
}

void Network::embed(WS& ws, Index M, const TokenId* ids, float* x) const {
  kernels_.embed({M, config_.channels, config_.vocab, ids, embedding_.data(), embedding_type_, ln0_.weight.data(),
                  ln0_.bias.data(), config_.norm_eps, x},
                 ws.stream);
}

void Network::embed_operands(WS& ws, const Buffer& out) const {
  const Index M = ws.rows(), D = config_.channels;
  kernels_.embed({M, D, config_.vocab, ws.ids.data(), embedding_.data(), embedding_type_, nullptr, nullptr, config_.norm_eps,
                  ws.y.data()},
                 ws.stream);
  kernels_.layer_norm({M, D, ws.y.data(), ln0_.weight.data(), ln0_.bias.data(), config_.norm_eps, out.data(), precision_},
                      ws.stream);
}

void Network::shift_mix(WS& ws, const Norm& norm, In rows, Out next_rows, std::span<const Array<float>> mu, float* normal,
                        float* change) const {
  RR_CHECK(mu.size() <= ws.mix.size() && mu.size() <= kMostMixes, "token shift with ", mu.size(), " lerps");
  std::array<const float*, kMostMixes> weights;
  std::array<void*, kMostMixes> out;
  for (std::size_t q = 0; q < mu.size(); ++q) weights[q] = mu[q].data(), out[q] = ws.mix[q].data();
  kernels_.shift_mix({ws.rows(), config_.channels, ws.x.data(), norm.weight.data(), norm.bias.data(), config_.norm_eps,
                      ws.segment_count(), ws.segments.data(), rows, next_rows, static_cast<Index>(mu.size()), weights.data(),
                      out.data(), precision_, normal, change},
                     ws.stream);
}

kernels::MatmulArgs Network::to_floats(const WS& ws, const void* x, const Matrix& w, float* y, Epilogue epilogue) const {
  return {ws.rows(), x, w.get(), y, DType::f32, epilogue, 0, ws.phase};
}

kernels::MatmulArgs Network::to_operands(const WS& ws, const void* x, const Matrix& w, void* y, Epilogue epilogue) const {
  return {ws.rows(), x, w.get(), y, precision_, epilogue, 0, ws.phase};
}

void Network::gated_read_out(WS& ws, const Norm& ln_x, const Array<float>& gate, const Matrix& output) const {
  kernels_.wkv6_readout({ws.rows(), config_.heads, config_.head_size, ws.y.data(), gate.data(), ln_x.weight.data(), ln_x.bias.data(),
                         config_.group_norm_eps, ws.mix[0].data(), precision_},
                        ws.stream);
  product(ws, to_floats(ws, ws.mix[0].data(), output, ws.x.data(), Epilogue::add));
}

Norm Network::load_norm(WeightLoader& load, const std::string& name, Index D) {
  return {load.vector(name + ".weight", {D}), load.vector(name + ".bias", {D})};
}

Array<float> Network::load_present_share(WeightLoader& load, const std::string& name, Index D) {
  Array<float> mu = load.host_vector(name, {D});
  for (float& share : mu.span()) share = 1.0f - share;
  return load.to_device(std::move(mu));
}

}  // namespace riverrun::model
