// WKV-7 in chunks for models of 16 bits, one kernel for a whole segment.
#include "kernels/cuda/barrier.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/wkv7_crews_16.cuh"

namespace riverrun::kernels::cuda {

namespace {

// Who does what. A block has a head; its first N / 16 warps are the readers; kCrews crews of N / 32 warps prepare chunks, each every
// kCrews-th one, in a slot of its own.
//
// Of chunk i the crew of slot i % kCrews has its rows in registers since it has scaled those of its last chunk; it
//   1. waits at emptied(slot) until the readers have read that last chunk, and scales into the slot;
//   2. own(slot), fetches rows of the next chunk, multiplies rows and inverts;
//   3. arrives at ready(slot).
// The readers wait at ready(slot), read, and arrive at emptied(slot) if the crew has another chunk.
//
// Of the two barriers of a slot each is complete before anybody comes to the other for the same chunk, so nobody arrives at one for a
// chunk before all have arrived there for the one before. A crew waits for the readers, and they for the first chunk that is not
// prepared: for ever, neither does.
constexpr int kCrews = 4;
__device__ __forceinline__ constexpr int own(int slot) { return 1 + slot; }
__device__ __forceinline__ constexpr int ready(int slot) { return 1 + kCrews + slot; }
__device__ __forceinline__ constexpr int emptied(int slot) { return 1 + 2 * kCrews + slot; }
static_assert(emptied(kCrews - 1) < 16);

template <int N>
struct BlockHandover {
  static constexpr int kReaders = 2 * N, kThreads = Wkv7Chunk16<N>::kThreads, kStep = kCrews;
  Wkv7Chunk16<N>* slots;

  __device__ __forceinline__ int first(int crew) const { return crew; }
  __device__ __forceinline__ Wkv7Chunk16<N>& slot(int crew) const { return slots[crew]; }
  __device__ __forceinline__ void wait_for_crew(int crew) const { wait_at_barrier(own(crew), kThreads); }
  __device__ __forceinline__ void hand_on(int crew, unsigned) const { arrive_at_barrier(ready(crew), kReaders + kThreads); }
  __device__ __forceinline__ void wait_until_read(int crew, unsigned) const { wait_at_barrier(emptied(crew), kReaders + kThreads); }

  __device__ __forceinline__ const Wkv7Chunk16<N>& slot_of(int chunk) const { return slots[chunk % kCrews]; }
  __device__ __forceinline__ void wait_until_ready(int chunk) const { wait_at_barrier(ready(chunk % kCrews), kReaders + kThreads); }
  __device__ __forceinline__ void have_read(int chunk) const { arrive_at_barrier(emptied(chunk % kCrews), kReaders + kThreads); }
};

template <int N>
constexpr int kBlock = BlockHandover<N>::kReaders + kCrews * BlockHandover<N>::kThreads;

// blockIdx.x: a head of the range, blockIdx.y: a segment.
template <int N>
__global__ void __launch_bounds__(kBlock<N>, N == 32 ? 2 : 1)
    wkv7_chunk_16_kernel(const __grid_constant__ Chunk16Parameters args, const __grid_constant__ SegmentTable segments) {
  wait_for_previous_alone();
  using Handover = BlockHandover<N>;
  const Handover handover = {launch_shared<Wkv7Chunk16<N>>()};
  const SegmentTable::Entry& segment = segments.entries[blockIdx.y];
  const Chunks chunks(segment.begin, segment.end, args.D, (args.first_head + blockIdx.x) * N);
  if (threadIdx.x < Handover::kReaders) {
    read_chunks<N>(args, chunks, handover, segment, blockIdx.x, static_cast<int>(threadIdx.x / kWarp * 16));
  } else {
    const unsigned beyond = threadIdx.x - Handover::kReaders, crew = beyond / Handover::kThreads;
    prepare_chunks<N>(args, chunks, handover, static_cast<int>(crew), beyond % Handover::kThreads);
  }
}

template <int N>
void launch_chunks(const Chunk16Parameters& parameters, const SegmentTable& segments, Index heads, Stream stream) {
  launch(wkv7_chunk_16_kernel<N>, dim3(static_cast<unsigned>(heads), static_cast<unsigned>(segments.count)), kBlock<N>,
         kCrews * Index{sizeof(Wkv7Chunk16<N>)}, stream, parameters, segments);
}

}  // namespace

void wkv7_chunks_16(const Wkv7Args& args, const SegmentTable& segments, Stream stream) {
  const auto parameters = Chunk16Parameters::of(args);
  if (args.N == 32) return launch_chunks<32>(parameters, segments, args.heads, stream);
  launch_chunks<64>(parameters, segments, args.heads, stream);
}

}  // namespace riverrun::kernels::cuda
