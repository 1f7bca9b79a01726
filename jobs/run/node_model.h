// The model of ranks that are processes: on each node one of them packs the weights, and the others map them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/device.h"
#include "core/weight_storage.h"
#include "jobs/options.h"
#include "model/model.h"
#include "transport/transport.h"

namespace riverrun::jobs {

// --share-weights: `automatic` keeps copies, and says so, where memory cannot be shared; `on` makes that an error.
enum class ShareWeights { automatic, on, off };
ShareWeights parse_share_weights(const std::string& name);  // "auto", "on", "off"; else InputError

// The files that the weights are read from, the initial state's included.
std::vector<std::string> weight_files(const CorpusJobOptions& options);
// What tells the weights of one job from those of another.
std::string identity_of(const CorpusJobOptions& options);

struct NodeModelArgs {
  ShareWeights share;
  DeviceKind device;  // a GPU has its weights in memory of its own, which is not shared: `automatic` is `off` then
  std::string identity;  // what the ranks of a node must agree on before they share: identity_of(the job's options)
  std::function<std::unique_ptr<model::Model>(WeightStorage& storage)> load;
  std::function<std::uint32_t()> checksum;                // of weight_files(); empty: copies of several ranks are not compared
  std::function<void(const model::Model& model)> settle;  // what depends on the model, on every rank: part of the load
  transport::Clock::duration timeout;
};

// To be called by all ranks. Ranks that can open each other's memory form a node, and the lowest of them packs. Where more than
// one rank packs, they must have read the same bytes. When a load fails, rank 0 throws that error, and one error only, for all;
// the other ranks end with it.
std::unique_ptr<model::Model> load_node_model(const NodeModelArgs& args, transport::Transport& transport);

}  // namespace riverrun::jobs
