// How a recurrence over states [head][value][key] becomes tasks for threads: by segment, head and value rows.
#pragma once

#include <algorithm>

#include "core/error.h"
#include "core/stream.h"
#include "core/thread_pool.h"
#include "kernels/cpu/scratch.h"
#include "kernels/segment.h"

namespace riverrun::kernels::cpu {

// Value rows [row, row + rows) of one head over one segment.
struct RecurrenceTask {
  Segment segment;
  Index head;  // of H
  Index row, rows;
  const float* state_in;  // of the head, or null
  float* state_out;       // of the head, or null
  float* S;               // scratch, [N][rows]
  const float* soon;      // the state rows that this thread is likely to need next, or null
};

// Value rows per task: all N of a head, or half or a quarter where there would be too few tasks for the
// threads.
inline Index rows_per_task(Index N, Index whole_heads, int threads) {
  Index rows = N;
  while (rows % 32 == 0 && whole_heads * (N / rows) < 2 * threads && threads > 1) rows /= 2;
  return rows;
}

// Calls run(args, task) for all value rows of the heads and segments of `args`, a Wkv6Args or Wkv7Args.
template <class Args>
void run_recurrence(const Args& args, Stream stream, void (*run)(const Args& args, const RecurrenceTask& task)) {
  check_segments(args.segment_count, args.segments, args.M);
  RR_CHECK(args.first_head >= 0 && args.heads >= 0 && args.first_head + args.heads <= args.H, "heads ",
           args.first_head, " + ", args.heads, " of ", args.H);
  const Index N = args.N;
  const int threads = stream.pool->threads();
  const Index rows = rows_per_task(N, args.segment_count * args.heads, threads), parts = N / rows;
  const Index tasks = args.segment_count * args.heads * parts;
  const auto task_of = [&](Index at) {
    const Index part = at % parts, h = at / parts % args.heads, s = at / parts / args.heads;
    const float* in = args.state_in[s];
    float* out = args.state_out[s];
    return RecurrenceTask{args.segments[s],
                          args.first_head + h,
                          part * rows,
                          rows,
                          in == nullptr ? nullptr : in + h * N * N,
                          out == nullptr ? nullptr : out + h * N * N,
                          nullptr,
                          nullptr};
  };
  stream.pool->run(tasks, [&](Index at, int) {
    thread_local Buffer scratch;
    RecurrenceTask task = task_of(at);
    task.S = grown<float>(scratch, N * rows);
    if (at + 1 < tasks) {
      const RecurrenceTask next = task_of(at + 1);
      if (next.state_in != nullptr) task.soon = next.state_in + next.row * N;
    }
    run(args, task);
  });
}

}  // namespace riverrun::kernels::cpu
