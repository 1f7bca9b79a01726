// The model of ranks that are processes: on each node one of them packs the weights, and the others map them.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "core/weight_storage.h"
#include "jobs/options.h"
#include "model/model.h"
#include "transport/transport.h"

namespace riverrun::jobs {

// --share-weights: `automatic` keeps copies, and says so, where memory cannot be shared; `on` makes that an error.
enum class ShareWeights { automatic, on, off };
ShareWeights parse_share_weights(const std::string& name);  // "auto", "on", "off"; else InputError

// What tells the weights of one job from those of another.
std::string identity_of(const CorpusJobOptions& options);

struct NodeModelArgs {
  ShareWeights share;
  std::string identity;  // what the ranks of a node must agree on before they share: identity_of(the job's options)
  std::function<std::unique_ptr<model::Model>(WeightStorage& storage)> load;
  std::function<void(const model::Model& model)> settle;  // what depends on the model, on every rank: part of the load
  transport::Clock::duration timeout;
};

// To be called by all ranks. Ranks that can open each other's memory form a node, and the lowest of them packs. When a
// load fails, rank 0 throws that error, and one error only, for all; the other ranks end with it.
std::unique_ptr<model::Model> load_node_model(const NodeModelArgs& args, transport::Transport& transport);

}  // namespace riverrun::jobs
