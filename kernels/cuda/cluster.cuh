// Clusters: blocks on neighbouring multiprocessors that reach one another's shared memory. Compute capability 9.0 and later.
//
// What lies in launch_shared memory lies at the same place in every block of the cluster, so a block names what is in another
// by its own copy and the other's rank.
#pragma once

#include "kernels/cuda/device.cuh"

// Whether this is compiled for a GPU that has clusters. A kernel for them is empty otherwise, and must not be launched.
#if RIVERRUN_CUDA_EMULATED || __CUDA_ARCH__ >= 900
#define RIVERRUN_HAS_CLUSTERS 1
#endif

namespace riverrun::kernels::cuda {

// A barrier in shared memory, of threads of any block of the cluster. A phase is complete when as many have arrived as it was made for
// and all bytes that they announced have come; then the next one begins. What the arriving threads did before is then seen by those that
// waited: in memory of their own block, and what was copied. Their scope is a block's, as that of copies between blocks usually is; a cluster's
// would be a fence of the whole GPU for every chunk.
#if RIVERRUN_CUDA_EMULATED
using SharedBarrier = cuda_emulator::SharedBarrier;
#else
struct SharedBarrier {
  std::uint64_t state;
};

__device__ __forceinline__ unsigned shared_address(const void* at) { return static_cast<unsigned>(__cvta_generic_to_shared(at)); }
__device__ __forceinline__ unsigned shared_address(const void* at, unsigned rank) {
  unsigned there;
  asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(shared_address(at)), "r"(rank));
  return there;
}
#endif

// This block's number in the cluster.
__device__ __forceinline__ unsigned cluster_rank() {
#if RIVERRUN_CUDA_EMULATED
  return cuda_emulator::cluster_rank();
#else
  unsigned rank;
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
#endif
}

// Of all threads of all blocks: after barriers are made, and before a block ends that others still reach. Nothing else that a thread did
// before is therefore seen by others.
__device__ __forceinline__ void cluster_barrier() {
#if RIVERRUN_CUDA_EMULATED
  cuda_emulator::cluster_barrier();
#else
  asm volatile("barrier.cluster.arrive.relaxed;\n\tbarrier.cluster.wait.acquire;" ::: "memory");
#endif
}

// By one thread. Others may use it after cluster_barrier().
__device__ __forceinline__ void make_barrier(SharedBarrier& barrier, unsigned arrivals) {
#if RIVERRUN_CUDA_EMULATED
  cuda_emulator::init_barrier(barrier, arrivals);
#else
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;\n\tfence.mbarrier_init.release.cluster;" ::"r"(shared_address(&barrier)),
               "r"(arrivals) : "memory");
#endif
}

// Of this block. Phases are 0, 1, 2 ...; until phase `phase` is complete, which is the present one or the one before.
__device__ __forceinline__ void wait_for_phase(SharedBarrier& barrier, unsigned phase) {
#if RIVERRUN_CUDA_EMULATED
  cuda_emulator::wait_at(barrier, phase % 2);
#else
  unsigned complete;
  do {
    asm volatile("{\n\t.reg .pred p;\n\tmbarrier.try_wait.parity.acquire.cta.shared::cta.b64 p, [%1], %2;\n\tselp.u32 %0, 1, 0, p;\n\t}"
                 : "=r"(complete) : "r"(shared_address(&barrier)), "r"(phase % 2) : "memory");
  } while (complete == 0);
#endif
  __syncwarp();
}

__device__ __forceinline__ void arrive_in_block(unsigned rank, SharedBarrier& barrier) {
#if RIVERRUN_CUDA_EMULATED
  cuda_emulator::arrive_at(barrier, rank);
#else
  asm volatile("mbarrier.arrive.release.cta.shared::cluster.b64 _, [%0];" ::"r"(shared_address(&barrier, rank)) : "memory");
#endif
}

// What this thread has written to shared memory is seen by copies that are started behind its next barrier.
__device__ __forceinline__ void show_to_copies() {
#if RIVERRUN_CUDA_EMULATED
  cuda_emulator::show_to_copies();
#else
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}

// By one thread: copies `bytes` to the same place in block `rank`, announces them at its `barrier` and arrives there. Multiples of 16.
// What is copied may be written again when that phase is complete.
__device__ __forceinline__ void send_to_block(unsigned rank, const void* from, unsigned bytes, SharedBarrier& barrier) {
#if RIVERRUN_CUDA_EMULATED
  cuda_emulator::send(from, bytes, barrier, rank);
  cuda_emulator::arrive_at(barrier, rank, bytes);
#else
  const unsigned there = shared_address(&barrier, rank);
  asm volatile("mbarrier.arrive.expect_tx.release.cta.shared::cluster.b64 _, [%0], %1;" ::"r"(there), "r"(bytes) : "memory");
  asm volatile("cp.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
                   shared_address(from, rank)), "r"(shared_address(from)), "r"(bytes), "r"(there) : "memory");
#endif
}

}  // namespace riverrun::kernels::cuda
