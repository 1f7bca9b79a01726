// Runs CUDA kernels on the CPU, for tests: the sources of kernels/cuda are compiled as C++ against the
// cuda_runtime.h beside this file.
//
// A thread of a block is a fiber, which runs until it comes to a barrier or waits for its warp; blocks run one
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

// In what order threads of a warp, warps of a block and blocks of a grid take their turns; `shuffled` draws it anew every time. With
// `starved` one warp goes on only while no other can: what relies on its being quick goes wrong.
// Asynchronous copies are made at once in `forward`, and in the others not before somebody waits for them.
enum class Order { forward, reverse, shuffled, starved };
void set_order(Order order, unsigned starved_warp = 0);  // of this thread's launches from now on

// Runs body(job) for every thread of the grid. Ends the program for what no GPU would launch: too large a grid, or more shared
// memory, the kernel's own object included, than every GPU has, or than it has unasked and `kernel` was allowed.
void run(dim3 grid, dim3 block, std::size_t shared_bytes, void (*body)(const void* job), const void* job, const void* kernel = nullptr);
void allow_shared(const void* kernel, std::size_t bytes);  // dynamic shared memory, from now on, in this thread's launches

// What a block may have of it: as compute capability 8.6 and 12.0 have, the least of all, unless a test says otherwise for its thread.
inline constexpr std::size_t kLeastShared = 99 * 1024;
void set_most_shared(std::size_t bytes);
std::size_t most_shared();

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
void wait_copies(std::size_t groups_left);  // until only the last so many groups may still be under way

}  // namespace riverrun::cuda_emulator
