#include "jobs/run/corpus_job.h"

#include <optional>

#include "core/error.h"
#include "core/stop.h"
#include "jobs/run/corpus_run.h"
#include "jobs/run/file_checksum.h"
#include "jobs/run/machine.h"
#include "jobs/run/node_model.h"
#include "jobs/run/run_lock.h"
#include "jobs/run/run_record.h"
#include "jobs/run/while_alive.h"
#include "kernels/table.h"
#include "model/model.h"
#include "transport/transport.h"

namespace riverrun::jobs {

int run_corpus_job(CorpusJob job, int argc, const char* const* argv) {
  exit_on_stop_signals();  // until there is something to lose
  const Machine machine = prepare_machine(job.options);
  check_paths(job.options);
  const auto& kernels = open_backend(job.options.backend, machine.transport);
  ThreadPool pool(machine.threads);
  const OwnStream stream(*kernels.device, pool);
  const RunRecord record(job.options, argc, argv);
  const auto load = [&](WeightStorage& storage) {
    return model::load_model(job.options.model, kernels, stream,
                             {job.options.precision, job.request.scores || job.writing, job.options.initial_state,
                              job.options.weights, &storage});
  };
  std::unique_ptr<const Writing> writing;
  const auto settle = [&](const model::Model& model) {
    if (job.settle) job.settle(job, model.config());
    if (!job.writing) return;
    const Index start = parse_token_option("--start-token", job.options.start_token);
    writing = std::make_unique<Writing>(*job.writing, job.options.model, job.options.tokenizer, static_cast<TokenId>(start == -2 ? job.auto_start_token : start),
                                        model, stream);
    writing->record(job.attributes);
  };
  const auto checksum = [&] { return checksum_of_files(weight_files(job.options), pool); };
  NodeModelArgs node{parse_share_weights(job.options.share_weights), kernels.device->kind(), "", load, checksum, settle, machine.timeout};
  std::unique_ptr<model::Model> model;
  std::optional<RunLock> lock;  // in the process of rank 0
  // Ranks that are threads share what is loaded before they start; ranks that are processes need MPI to agree on who packs.
  const bool processes = runs_processes(machine.transport);
  if (processes) {
    node.identity = identity_of(job.options);
  } else {
    lock.emplace(job.options.output);
    model = load(private_weights());
    settle(*model);
  }
  return transport::run_ranks(machine.transport, {.ranks = static_cast<int>(job.options.ranks), .synchronous_sends = job.options.synchronous_sends, .timeout = machine.timeout, .device = kernels.device},
                              [&](transport::Transport& transport) {
                                if (processes) {
                                  if (transport.rank() == 0) while_alive(transport, [&] { lock.emplace(job.options.output); });
                                  model = load_node_model(node, transport);
                                }
                                note_stop_signals();
                                return CorpusRun(job, machine, *model, kernels, record, writing.get(), transport).run();
                              });
}

}  // namespace riverrun::jobs
