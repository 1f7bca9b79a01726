// Runs CUDA kernels on the CPU, for tests: the sources of kernels/cuda are compiled as C++ against the
// cuda_runtime.h beside this file.
//
// A thread of a block is a fiber, which runs until it comes to a barrier or waits for its warp; blocks, or clusters of them, run one
// after the other. Whoever forgets a barrier gets other bytes in another order. Shared memory is NaN before
// every block. A kernel that would hang, or that leaves a warp while its lanes are wanted, ends the program
// with a message. Stricter than a GPU: blocks are whole warps, all threads of a block or warp take part
// in what is collective, and nobody has arrived at a barrier that is still incomplete when a block ends.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

inline thread_local uint3 threadIdx, blockIdx;
inline thread_local dim3 blockDim, gridDim;

namespace riverrun::cuda_emulator {

// In what order threads of a warp, warps of a cluster's blocks, and clusters of a grid take their turns; `shuffled` draws it anew every
// time. With `starved` one warp goes on only while no other can, and its last lane only while no other lane of it can: what relies on
// their being quick goes wrong.
// Asynchronous copies are made at once in `forward`, and in the others not before somebody waits for them.
enum class Order { forward, reverse, shuffled, starved };
void set_order(Order order, unsigned starved_warp = 0);  // of this thread's launches from now on

// The GPU of this thread's launches. Unless a test says otherwise it has what compute capabilities 8.6 and 12.0 have, the least of all.
struct Gpu {
  std::size_t most_shared = 99 * 1024;  // that a block may have
  int capability = 8;                   // the major number; clusters from 9 on
  int multiprocessors = 1;
};
void set_gpu(const Gpu& gpu);
const Gpu& present_gpu();
// Of this thread's launches since set_gpu(): blocks of a cluster, and of a grid in z.
unsigned largest_cluster();
unsigned deepest_grid();

// Runs body(job) for every thread of the grid, `cluster` neighbours in x at a time. Ends the program for what no GPU would launch: too
// large a grid, a cluster on a GPU that has none, or more shared memory, the kernel's own object included, than the GPU has, or than
// it has unasked and `kernel` was allowed.
void run(dim3 grid, dim3 block, std::size_t shared_bytes, void (*body)(const void* job), const void* job, const void* kernel = nullptr,
         unsigned cluster = 1);
void allow_shared(const void* kernel, std::size_t bytes);  // dynamic shared memory, from now on, in this thread's launches

// What a cudaStream_t points to; null: a stream whose launches are never recorded. While it records, launches are kept instead
// of run.
struct EmulatedStream {
  bool recording = false;
  std::vector<std::function<void()>> launches;
};

// For the threads of a kernel. What lanes of a warp hand to each other is at most kExchangeBytes each; the
// result of exchange() holds what lane i gave at i * kExchangeBytes, until this lane's next exchange.
inline constexpr std::size_t kExchangeBytes = 64;
[[noreturn]] void broken(const char* what);  // ends the program with a message that names the thread
void block_barrier();
// Barrier `id`, 0 to 15, of which 0 is the block's own. It is complete, and whoever waits goes on, when `threads` have arrived: those
// that wait and those that do not, whole warps, each thread once.
void barrier(unsigned id, unsigned threads, bool wait);
const std::byte* exchange(const void* mine, std::size_t bytes);
void* dynamic_shared();
void* static_shared(
    std::size_t bytes);  // the one object that a kernel may have: every call gives the same memory
void copy_async(void* to, const void* from, std::size_t bytes);
void commit_copies();
void fetch_into_l2(const void* from, std::size_t bytes);  // reads it, which the address sanitizer sees
void wait_copies(std::size_t groups_left);  // until only the last so many groups may still be under way

// A barrier in shared memory (PTX: mbarrier). Its present phase is complete when so many have arrived as it was made for and all bytes
// that they announced have come.
struct SharedBarrier {
  std::uint32_t made, arrivals, missing, phase;
  std::int64_t bytes;
};
void init_barrier(SharedBarrier& barrier, unsigned arrivals);
void wait_at(SharedBarrier& barrier, unsigned parity);  // until a phase of this parity is complete

// For the kernel before this one, as every thread must (kernels/cuda/launch.h, rehearsal.h).
void wait_for_previous();
void check_waited_for_previous();

// The blocks of a cluster. `mine` and `at` are in this block's launch_shared memory and stand for what lies there in block `rank`.
unsigned cluster_rank();
void cluster_barrier();  // of all threads of all blocks
void arrive_at(SharedBarrier& at, unsigned rank, unsigned bytes = 0);  // announces so many bytes
// What this thread wrote to shared memory can be sent behind the next barrier() that it comes to.
void show_to_copies();
// Starts a copy to block `rank`, made at once in Order::forward and otherwise when nobody can go on, or in any turn of `shuffled`, in any
// order. Whoever sends comes from a barrier() whose threads have all shown what they wrote.
void send(const void* mine, std::size_t bytes, SharedBarrier& at, unsigned rank);

}  // namespace riverrun::cuda_emulator
