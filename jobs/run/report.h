// Report: what a finished job says to the person who started it.
#pragma once

#include <span>

#include "jobs/run/result_file.h"
#include "plan/plan.h"
#include "ring/ring.h"

namespace riverrun::jobs {

// Logs what was done, how fast, where the ranks' time went and what the plan's closed form would have made of it, and
// which documents failed.
void report_run(const ResultFile& results, const plan::Plan& plan, const model::Model& model, std::span<const ring::Statistics> of_ranks);

}  // namespace riverrun::jobs
