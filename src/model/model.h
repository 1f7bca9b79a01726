// Model: an RWKV network of any generation, as the ring sees it.
//
// A block of tokens goes through the layers in six steps each, cut where something arrives from the rank that has
// the document's previous slice, or can leave for the rank that has the next one:
//
//   mix_time      LayerNorm, token shift, lerps        needs the time-mix row, gives the next one
//   project       projections, LoRAs                   needs nothing
//   pass_state    the recurrence, part by part         needs the parts' state, gives the next one
//   read_out      group norm, gate, output projection  needs nothing
//   mix_channel   LayerNorm, token shift, lerps        needs the channel-mix row, gives the next one
//   feed_forward  channel mix                          needs nothing
//
// A Model is read-only once loaded and may be used by several rank-threads at once, each with a Workspace of its own.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>

#include "checkpoint/checkpoint.h"
#include "core/stream.h"
#include "kernels/segment.h"
#include "kernels/table.h"
#include "model/config.h"
#include "model/device_memory.h"
#include "model/state.h"

namespace riverrun::model {

// The activations of one block on its way through the layers: allocated once, for up to `capacity` tokens.
class Workspace {
 public:
  virtual ~Workspace() = default;
  virtual Index bytes() const = 0;
};

class Model {
 public:
  virtual ~Model() = default;

  const Config& config() const { return config_; }
  DType precision() const { return precision_; }  // of activations where they are operands of products
  DType weights() const { return weights_; }      // of the large matrices: precision(), or i8
  const StateShape& state_shape() const { return state_shape_; }
  // The state before a document's first token: zeros (RWKV-4: no past), or a tuned one from `time_state` tensors.
  const State& initial_state() const { return initial_state_; }
  bool has_tuned_state() const { return has_tuned_state_; }
  virtual Index weight_bytes() const = 0;
  // Where it runs: the memory of everything that a step takes by pointer is this device's, of either kind. What a step
  // writes to shared memory is there once the workspace's stream is synchronised.
  Device& device() const { return *device_; }
  State make_state(Memory memory = Memory::shared) const { return State(state_shape_, *device_, memory); }

  using Phase = kernels::Phase;
  virtual std::unique_ptr<Workspace> make_workspace(Index capacity, Stream stream, Phase phase) const = 0;
  std::unique_ptr<Workspace> make_workspace(Index capacity, Stream stream) const { return make_workspace(capacity, stream, Phase::prefill); }

  // Takes in a block: ids [M], each below config().vocab, M at most the capacity; the segments cover [0, M). Both
  // are copied, the ids from the host's memory.
  virtual void take_in(Workspace& workspace, std::span<const TokenId> ids, std::span<const kernels::Segment> segments) const = 0;
  // What the first layer starts from.
  virtual void embed_block(Workspace& workspace) const = 0;
  void start(Workspace& workspace, std::span<const TokenId> ids, std::span<const kernels::Segment> segments) const {
    take_in(workspace, ids, segments);
    embed_block(workspace);
  }

  // Pointers are per segment, in the order of start(): null in means that nothing came before (zeros; RWKV-4: no past),
  // null out means not wanted. In and out may be the same memory.
  using In = const float* const*;
  using Out = float* const*;
  virtual void mix_time(Workspace& workspace, Index layer, In rows, Out next_rows) const = 0;
  virtual void project(Workspace& workspace, Index layer) const = 0;
  // Parts [first_part, first_part + parts) of the state; the pointers are to the first of them.
  virtual void pass_state(Workspace& workspace, Index layer, Index first_part, Index parts, In state, Out next_state) const = 0;
  virtual void read_out(Workspace& workspace, Index layer) const = 0;
  virtual void mix_channel(Workspace& workspace, Index layer, In rows, Out next_rows) const = 0;
  virtual void feed_forward(Workspace& workspace, Index layer) const = 0;

  // The time-mix row that layer 0 hands on after token `id`: it depends on nothing else.
  virtual void first_layer_row(Workspace& workspace, TokenId id, float* row) const = 0;

  // The residual stream behind the layer that was computed last: rows [first, first + rows) into `out` [rows, D], fp32. Done when
  // it returns.
  virtual void residual(Workspace& workspace, Index first, Index rows, float* out) const = 0;
  // After the last layer. The final LayerNorm of rows [first, first + rows) into `hidden` [rows, D], fp32.
  virtual void hidden(Workspace& workspace, Index first, Index rows, float* hidden) const = 0;
  // Logits of the token after each of rows [first, first + rows): `logits` [rows, V], fp32. Needs a head.
  virtual void logits(Workspace& workspace, Index first, Index rows, float* logits) const = 0;
  // What kernels::PickLargest and kernels::Draw give for each row of logits; all that `args` points to is memory of device().
  virtual void pick_largest(Workspace& workspace, const kernels::PickLargestArgs& args) const = 0;
  virtual void draw(Workspace& workspace, const kernels::DrawArgs& args) const = 0;
  // Natural-log probability of targets[i] (in the host's memory) after row first + i. Needs a head.
  virtual void log_probs(Workspace& workspace, Index first, std::span<const TokenId> targets, float* out) const = 0;

 protected:
  Model(Config config, StateShape state_shape, DType precision, DType weights, Device& device)
      : config_(std::move(config)),
        state_shape_(state_shape),
        precision_(precision),
        weights_(weights),
        device_(&device),
        initial_state_(state_shape, device) {}
  Config config_;
  StateShape state_shape_;
  DType precision_, weights_;
  Device* device_;
  State initial_state_;
  bool has_tuned_state_ = false;
};

struct LoadOptions {
  std::string precision = "auto";  // "auto", "fp32", "bf16", "fp16"
  bool need_head = false;          // pack the head: scoring and generating
  std::string initial_state;       // a file of blocks.l.att.time_state tensors; empty: the checkpoint's own, if any
  std::string weights = "auto";    // "auto": as precision says; "int8": the large matrices as integers (kernels/matmul.h)
  WeightStorage* storage = &private_weights();  // of matrices and tables; a filled one must have been filled by such a load
  // What the process will do with the model: where memory is the device's own, it is refused when it will not fit. Null: only load it.
  std::function<Use(const StateShape&)> use = nullptr;
};

// Reads and packs the weights of a checkpoint of any known generation for `kernels`. InputError when tensors are
// missing, misshapen or unknown, when a head is needed but not there, when the precision or weights cannot be had on this machine,
// or when its device has too little memory.
std::unique_ptr<Model> load_model(const std::string& path, const kernels::KernelTable& kernels, Stream stream,
                                  const LoadOptions& options);

// Takes a block that start() has taken in through all layers, without a ring. states[i] holds what came before segment i
// and receives what comes after it.
void run_layers(const Model& model, Workspace& workspace, std::span<State* const> states);

// Moves a state to where steps reach it fastest, to be used by them alone from now on: on a GPU its values, into the device
// memory that `to` keeps from the first time on; else `to` takes it over.
void move_state(const Model& model, std::unique_ptr<State>& from, std::unique_ptr<State>& to, Stream stream);

// What can be said from names and shapes, without reading the weights.
Config read_config(const checkpoint::Checkpoint& file);
StateShape state_shape(const Config& config);

// Work and memory of a model, for forecasts.
struct Cost {
  double layer_flops, state_flops, head_flops;  // for one token: products of all layers; recurrences; the head
  Index weight_bytes, head_bytes;               // all weights, the large matrices as `weights`; the head among them, if there is one
  Index activation_bytes, product_bytes;        // of one token: activations; what products on a GPU need for a moment
};
Cost estimate_cost(const Config& config, DType operand, DType weights);
// The type of the large matrices that LoadOptions::weights asks for; InputError when it is none.
DType parse_weights(const std::string& weights, DType operand);

}  // namespace riverrun::model
