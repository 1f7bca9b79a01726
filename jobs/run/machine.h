// Machine: what the options come to, on this machine and in the plan.
#pragma once

#include <string>
#include <vector>

#include "core/progress.h"
#include "jobs/options.h"
#include "model/model.h"
#include "plan/plan.h"
#include "ring/result.h"
#include "transport/transport.h"

namespace riverrun::jobs {

struct Machine {
  std::string transport;  // "self", "threads", "mpi", "nccl"
  int threads = 1;        // per rank
  ProgressStyle progress = ProgressStyle::none;
  transport::Clock::duration timeout{};
};

// Settles every "auto", sets the log level, checks ranges. InputError for what does not go together.
Machine prepare_machine(const CorpusJobOptions& options);

// What can be told about --output and --trace before the model is loaded. InputError when the directory is not there or
// is that of the documents, when a file that the job reads would be written over, and when the output exists without
// --resume or --overwrite. `resumes`: the job has --resume. The same of the directory for texts, where there is one.
void check_paths(const CorpusJobOptions& options, bool resumes, const std::string& also_text);

// InputError when mpirun or srun has started several processes of a command that runs in one.
void check_one_process(const std::string& command);

// B: as asked for, or chosen from the longest document (0: whatever it is) and the kind of device. Never from the number of ranks.
Index choose_block_tokens(Index asked, Index longest_document, DeviceKind device);

// `keeps_states`: the state after a document is kept for a while.
plan::Options plan_options(int ranks, Index block_tokens, const model::Model& model, bool keeps_states);

// How many carries a rank must be able to keep on their way for the plan's messages not to deadlock: nearly always the least,
// ring::kCarriesInFlight. Error when no number will do.
Index carries_for(const plan::Plan& plan, const model::Model& model, const ring::Request& request);

// The rank that mpirun or srun gave this process, known before MPI starts; 0 elsewhere.
int launched_rank();

// Whether the ranks of a transport are processes.
bool runs_processes(const std::string& transport);

// The kernels that --backend names, on this process's own device, for ranks that `transport` connects. InputError when they are
// not in this build, or the device not here.
const kernels::KernelTable& open_backend(const std::string& name, const std::string& transport = "self");

}  // namespace riverrun::jobs
