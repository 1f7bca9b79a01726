#include "emulator.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "machine.h"
#include "rehearsal.h"

namespace riverrun::cuda_emulator {

namespace {

thread_local Gpu gpu;
thread_local unsigned largest = 0, deepest = 0;

Machine& machine() { return Machine::of_this_thread(); }

}  // namespace

void broken(const char* what) {
  std::fprintf(stderr, "cuda emulator: %s (block %u %u, thread %u)\n", what, blockIdx.x, blockIdx.y,
               threadIdx.x);
  std::abort();
}

void set_order(Order order, unsigned starved_warp) { machine().set_order(order, starved_warp); }

void run(dim3 grid, dim3 block, std::size_t shared_bytes, void (*body)(const void*), const void* job, const void* kernel, unsigned cluster) {
  largest = std::max(largest, cluster), deepest = std::max(deepest, grid.z);
  machine().run(grid, block, shared_bytes, body, job, kernel, cluster);
}
void allow_shared(const void* kernel, std::size_t bytes) { machine().allow_shared(kernel, bytes); }

void set_gpu(const Gpu& present) { gpu = present, largest = deepest = 0; }
unsigned largest_cluster() { return largest; }
unsigned deepest_grid() { return deepest; }
const Gpu& present_gpu() { return gpu; }

void block_barrier() { machine().block_barrier(); }
void barrier(unsigned id, unsigned threads, bool wait) { machine().barrier(id, threads, wait); }
const std::byte* exchange(const void* mine, std::size_t bytes) { return machine().exchange(mine, bytes); }
void* dynamic_shared() { return machine().dynamic_shared(); }
void* static_shared(std::size_t bytes) { return machine().static_shared(bytes); }

void copy_async(void* to, const void* from, std::size_t bytes) {
  if (reinterpret_cast<std::uintptr_t>(to) % bytes != 0 ||
      reinterpret_cast<std::uintptr_t>(from) % bytes != 0) {
    broken("an asynchronous copy that is not aligned");
  }
  if (machine().order() == Order::forward) {
    std::memcpy(to, from, bytes);
  } else {
    Thread& self = machine().current();
    self.copies.push_back({to, from, bytes});
    ++self.open;
  }
}

void fetch_into_l2(const void* from, std::size_t bytes) {
  if (reinterpret_cast<std::uintptr_t>(from) % 16 != 0 || bytes == 0 || bytes % 16 != 0) broken("a fetch of what is not whole 16 bytes");
  const volatile auto* const at = static_cast<const unsigned char*>(unspoilt(from));
  for (std::size_t i = 0; i < bytes; ++i) (void)at[i];
}

void commit_copies() {
  Thread& self = machine().current();
  self.groups.push_back(self.open);
  self.open = 0;
}

void wait_copies(std::size_t groups_left) {
  Thread& self = machine().current();
  for (; self.groups.size() > groups_left; self.groups.pop_front()) self.make_copies(self.groups.front());
}

void wait_for_previous() {
  if (rehearsing()) leave_rehearsal();
  machine().current().waited = true;
}
void check_waited_for_previous() {
  if (!machine().current().waited) broken("a thread that has not waited for the kernel before");
}
void init_barrier(SharedBarrier& barrier, unsigned arrivals) { machine().init_barrier(barrier, arrivals); }
void wait_at(SharedBarrier& barrier, unsigned parity) { machine().wait_at(barrier, parity); }
unsigned cluster_rank() { return machine().current().block; }
void cluster_barrier() { machine().cluster_barrier(); }
void arrive_at(SharedBarrier& at, unsigned rank, unsigned bytes) { machine().arrive_at(at, rank, bytes); }
void show_to_copies() { machine().current().shown = true; }
void send(const void* mine, std::size_t bytes, SharedBarrier& at, unsigned rank) { machine().send(mine, bytes, at, rank); }

}  // namespace riverrun::cuda_emulator
