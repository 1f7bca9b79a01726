// How element-wise work on rows is split over threads.
#pragma once

#include "core/stream.h"
#include "core/thread_pool.h"

namespace riverrun::kernels::cpu {

// Calls rows(args, begin, end) for ranges of rows that cover [0, args.M), one range per thread and none shorter than 8 rows.
template <class Args>
void run_by_rows(const Args& args, Stream stream, void (*rows)(const Args& args, Index begin, Index end)) {
  constexpr Index kLeastRows = 8;
  stream.pool->run_ranges(args.M, kLeastRows, [&](Index begin, Index end, int) { rows(args, begin, end); });
}

}  // namespace riverrun::kernels::cpu
