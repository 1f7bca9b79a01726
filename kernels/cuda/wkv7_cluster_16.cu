// WKV-7 in chunks for models of 16 bits, with two blocks to a head: for GPUs that have clusters, and twice as many multiprocessors as
// the call has heads. Every number is the one that wkv7_chunk_16.cu computes.
#include <cstddef>

#include "kernels/cuda/barrier.cuh"
#include "kernels/cuda/cluster.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/switches.h"
#include "kernels/cuda/wkv7_crews_16.cuh"

namespace riverrun::kernels::cuda {

namespace {

// Who does what. Each of two blocks has half of the head's value rows: its first N / 32 warps are their readers. Chunks are prepared by
// turns, the even ones in block 0, the odd ones in block 1, there by kCrews crews of N / 32 warps in turn, each in a slot of its own, and
// copied into the same slot of the other block. Chunk i is in slot i % kSlots of both, which is slot i / kBlocks % kCrews of its crew.
//
// Of its chunks a crew
//   1. waits at read[crew] until the readers of both blocks have read its last one, so that its copy, too, has been made, and scales
//      the next one's rows into the slot;
//   2. waits for all of itself, multiplies rows and inverts, waits for all of itself;
//   3. has one thread arrive at ready[slot] here, and start the copy, whose end completes ready[slot] there.
// The readers wait at their ready[slot], read, and one lane of a warp arrives at read[crew] of the block that prepared the chunk, if
// its crew has another one.
//
// A phase of ready[slot] is complete before anybody arrives for the next: the crew has waited for who waited for it; and so is one of
// read[crew], whose crew must make ready what is read next. A block ends when both have.
constexpr int kBlocks = 2, kCrews = 4, kSlots = kBlocks * kCrews;

template <int N>
struct ClusterMemory {
  Wkv7Chunk16<N> slots[kSlots];
  SharedBarrier ready[kSlots], read[kCrews];
};

// What is copied from block to block: all but what only the crew needs.
template <int N>
constexpr unsigned kHandedOn = offsetof(Wkv7Chunk16<N>, L);
static_assert(kHandedOn<32> % 16 == 0 && kHandedOn<64> % 16 == 0);

template <int N>
constexpr int kReaders = N / 32;  // warps
template <int N>
constexpr int kBlock = kWarp * kReaders<N> + kCrews * Wkv7Chunk16<N>::kThreads;

#if RIVERRUN_HAS_CLUSTERS
template <int N>
struct ClusterHandover {
  using Chunk = Wkv7Chunk16<N>;
  static constexpr int kThreads = Chunk::kThreads, kStep = kSlots;
  ClusterMemory<N>& memory;
  int rank;

  __device__ __forceinline__ void make_barriers() const {
    for (auto& barrier : memory.ready) make_barrier(barrier, 1);
    for (auto& barrier : memory.read) make_barrier(barrier, kBlocks * kReaders<N>);
  }

  __device__ __forceinline__ int first(int crew) const { return kBlocks * crew + rank; }
  __device__ __forceinline__ Chunk& slot(int crew) const { return memory.slots[first(crew)]; }
  __device__ __forceinline__ void wait_for_crew(int crew) const { wait_at_barrier(1 + crew, kThreads); }
  __device__ __forceinline__ void hand_on(int crew, unsigned thread) const {
    show_to_copies();
    wait_for_crew(crew);
    if (thread == 0) {
      SharedBarrier& ready = memory.ready[first(crew)];
      arrive_in_block(rank, ready);
      send_to_block(1 - rank, &slot(crew), kHandedOn<N>, ready);
    }
  }
  __device__ __forceinline__ void wait_until_read(int crew, unsigned step) const { wait_for_phase(memory.read[crew], step); }

  __device__ __forceinline__ const Chunk& slot_of(int chunk) const { return memory.slots[chunk % kSlots]; }
  __device__ __forceinline__ void wait_until_ready(int chunk) const {
    wait_for_phase(memory.ready[chunk % kSlots], static_cast<unsigned>(chunk) / kSlots);
  }
  __device__ __forceinline__ void have_read(int chunk) const {
    __syncwarp();
    if (threadIdx.x % kWarp == 0) arrive_in_block(chunk % kBlocks, memory.read[chunk / kBlocks % kCrews]);
  }
};
#endif

// blockIdx.x: a block of a head of the range, blockIdx.y: a segment.
template <int N>
__global__ void __launch_bounds__(kBlock<N>, 1)
    wkv7_cluster_16_kernel([[maybe_unused]] const __grid_constant__ Chunk16Parameters args,
                           [[maybe_unused]] const __grid_constant__ SegmentTable segments) {
#if RIVERRUN_HAS_CLUSTERS
  wait_for_previous_alone();
  using Handover = ClusterHandover<N>;
  const Handover handover = {*launch_shared<ClusterMemory<N>>(), static_cast<int>(cluster_rank())};
  if (threadIdx.x == 0) handover.make_barriers();
  cluster_barrier();
  const Index head = blockIdx.x / kBlocks;
  const SegmentTable::Entry& segment = segments.entries[blockIdx.y];
  const Chunks chunks(segment.begin, segment.end, args.D, (args.first_head + head) * N);
  const int warp = static_cast<int>(threadIdx.x / kWarp);
  if (warp < kReaders<N>) {
    read_chunks<N>(args, chunks, handover, segment, head, 16 * (handover.rank * kReaders<N> + warp));
  } else {
    const unsigned beyond = threadIdx.x - kWarp * kReaders<N>, crew = beyond / Handover::kThreads;
    prepare_chunks<N>(args, chunks, handover, static_cast<int>(crew), beyond % Handover::kThreads);
  }
  cluster_barrier();
#endif
}

// f(kernel, bytes of shared memory, threads) for heads of N channels.
template <class Function>
auto with_kernel(Index N, Function&& f) {
  if (N == 32) return f(wkv7_cluster_16_kernel<32>, Index{sizeof(ClusterMemory<32>)}, kBlock<32>);
  return f(wkv7_cluster_16_kernel<64>, Index{sizeof(ClusterMemory<64>)}, kBlock<64>);
}

}  // namespace

// The multiprocessors of a cluster are neighbours, of which a GPU may have fewer pairs than it has halves.
bool has_wkv7_clusters(Index N, Index heads) {
  static const bool kWanted = is_on(kClustersSwitch);
  if (!kWanted || kBlocks * heads > multiprocessors()) return false;
  return with_kernel(N, [heads](auto* kernel, Index bytes, int threads) {
    return compiled_for(kernel) >= 90 && most_shared_bytes() >= bytes &&
           heads <= most_clusters(kBlocks, kernel, static_cast<unsigned>(threads), bytes);
  });
}

void wkv7_clusters_16(const Wkv7Args& args, const SegmentTable& segments, Stream stream) {
  with_kernel(args.N, [&](auto* kernel, Index bytes, int threads) {
    const dim3 blocks(static_cast<unsigned>(kBlocks * args.heads), static_cast<unsigned>(segments.count));
    launch_clusters(kBlocks, kernel, blocks, static_cast<unsigned>(threads), bytes, stream, Chunk16Parameters::of(args),
                    segments);
  });
}

}  // namespace riverrun::kernels::cuda
