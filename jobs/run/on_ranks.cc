#include "jobs/run/on_ranks.h"

#include <optional>

#include "core/stop.h"
#include "jobs/run/file_checksum.h"
#include "jobs/run/node_model.h"
#include "jobs/run/run_lock.h"
#include "jobs/run/while_alive.h"

namespace riverrun::jobs {

int run_on_ranks(const CorpusJob& job, int argc, const char* const* argv, const UseOf& use,
                 const std::function<RankBody(const Prepared&)>& settle) {
  exit_on_stop_signals();
  const CorpusJobOptions& options = job.options;
  const Machine machine = prepare_machine(options);
  check_paths(options, job.name != "ask", job.also_text);
  const kernels::KernelTable& kernels = open_backend(options.backend, machine.transport);
  ThreadPool pool(machine.threads);
  const OwnStream stream(*kernels.device, pool);
  const RunRecord record(options, argc, argv);
  const bool need_head = job.request.scores || job.writing;
  const bool processes = runs_processes(machine.transport);
  const auto use_of_process = [&](const model::StateShape& state) {
    model::Use all = use(state);
    if (!processes) all.ranks = options.ranks;
    return all;
  };

  std::unique_ptr<model::Model> model;
  std::optional<Prepared> prepared;
  RankBody body;
  NodeModelArgs node{.share = parse_share_weights(options.share_weights), .device = kernels.device->kind(), .identity = "",
                     .load = [&](WeightStorage& storage) {
                       return model::load_model(options.model, kernels, stream,
                                                {options.precision, need_head, options.initial_state, options.weights, &storage, use_of_process});
                     },
                     .checksum = [&] { return checksum_of_files(weight_files(options), pool); },
                     .settle = [&](const model::Model& loaded) {
                       prepared.emplace(Prepared{machine, kernels, stream, record, loaded});
                       body = settle(*prepared);
                     },
                     .timeout = machine.timeout};
  std::optional<RunLock> lock;  // in the process of rank 0, when there is an output
  const auto take_lock = [&] {
    if (!options.output.empty()) lock.emplace(options.output);
  };
  // Ranks that are threads share what is loaded before they start; ranks that are processes need MPI to agree on who packs.
  if (processes) {
    node.identity = identity_of(options);
  } else {
    take_lock();
    model = node.load(private_weights());
    node.settle(*model);
  }
  const transport::Options ranks{.ranks = static_cast<int>(options.ranks), .synchronous_sends = options.synchronous_sends,
                                 .timeout = machine.timeout, .device = kernels.device};
  return transport::run_ranks(machine.transport, ranks, [&](transport::Transport& transport) {
    if (processes) {
      if (transport.rank() == 0) while_alive(transport, take_lock);
      model = load_node_model(node, transport);
    }
    return body(transport);
  });
}

}  // namespace riverrun::jobs
