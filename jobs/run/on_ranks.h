// run_on_ranks: what every job with a model goes through before its ranks begin. Options and paths are checked, the output is
// locked against other runs, and the model is loaded.
#pragma once

#include <functional>

#include "core/stream.h"
#include "jobs/run/corpus_job.h"
#include "jobs/run/machine.h"
#include "jobs/run/run_record.h"
#include "kernels/table.h"
#include "model/model.h"
#include "transport/transport.h"

namespace riverrun::jobs {

// What the process has by then. All of it outlives the ranks.
struct Prepared {
  const Machine& machine;
  const kernels::KernelTable& kernels;
  Stream stream;  // for work before the ranks begin, each of which has its own
  const RunRecord& record;
  const model::Model& model;
};

// What a rank runs; gives its exit code. Ranks that are threads call one copy of it side by side.
using RankBody = std::function<int(transport::Transport& transport)>;

// What one rank does with a model of that state, as far as memory goes.
using UseOf = std::function<model::Use(const model::StateShape& state)>;

// `settle` is called once in each process and decides what depends on the model; it gives what each rank then runs. Until a rank
// calls note_stop_signals() there is nothing to lose: a signal ends the process. Returns what transport::run_ranks() returns, and
// with MPI nothing that can fail may follow it. Throws what is wrong with the options, the model or the output.
int run_on_ranks(const CorpusJob& job, int argc, const char* const* argv, const UseOf& use,
                 const std::function<RankBody(const Prepared& prepared)>& settle);

}  // namespace riverrun::jobs
