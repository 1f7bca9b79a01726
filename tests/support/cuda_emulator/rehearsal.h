// What a kernel does before it waits for the kernel before (kernels/cuda/launch.h).
//
// That one has ended in the emulator, so results would not show what is touched too early. Instead the beginning of a kernel is run once
// more, for the threads of its first and last block, with arguments whose pointers lead nowhere: only what goes through
// fetch_into_l2() may be reached.
#pragma once

#include "emulator.h"

namespace riverrun::cuda_emulator {

// Ends the program when a thread touches what a pointer in `args` leads to, or does not wait. `args` is spoilt. body(job) is the
// kernel with them.
void rehearse(dim3 grid, dim3 block, void (*body)(const void* job), const void* job, void* args, std::size_t args_bytes);
// Whether this launch of the kernel is the first with such blocks in this thread.
bool wants_rehearsal(const void* kernel, dim3 grid, dim3 block);

bool rehearsing();
void leave_rehearsal();  // by wait_for_previous()
const void* unspoilt(const void* pointer);

}  // namespace riverrun::cuda_emulator
