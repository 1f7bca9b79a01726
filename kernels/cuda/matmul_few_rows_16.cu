// Few rows in bf16 and fp16, on the tensor cores. A warp takes every eighth slab of 32 columns of W and
// multiplies it with all rows and outputs of its block; the warps' sums are added in their order. A lane
// reads 8 neighbouring columns at once, of W and of x alike: which column stands for which k inside a product
// makes no difference to it.
#include "kernels/cuda/epilogue.cuh"
#include "kernels/cuda/few_rows.cuh"
#include "kernels/cuda/mma.cuh"

namespace riverrun::kernels::cuda {

namespace {

constexpr int kThreads = 256, kWarps = kThreads / kWarp;
constexpr int kTileRows = 16, kTileOutputs = 8;
constexpr int kSlab = 32;  // columns of W
static_assert(kSlab == kColumnsAtOnce);

// Slabs of W that a warp has on their way to its registers: with the warps that a multiprocessor holds, enough bytes for the time that
// memory takes to answer.
template <int kRowTiles, int kOutputTiles>
constexpr int kSlabsAhead = kRowTiles == 1 ? 4 : kOutputTiles - 1;

// Columns [at, at + 8) of a row of x; those from K on are 0. kWhole: K is whole slabs, and rows are aligned.
template <bool kWhole, class T>
__device__ __forceinline__ uint4 load_eight(const T* row, int at, [[maybe_unused]] int K) {
  if constexpr (kWhole) {
    return *reinterpret_cast<const uint4*>(row + at);
  } else {
    const auto pair = [&](int k) {
      const std::uint32_t low = k < K ? row[k].bits : 0u, high = k + 1 < K ? row[k + 1].bits : 0u;
      return low | high << 16;
    };
    return {pair(at), pair(at + 2), pair(at + 4), pair(at + 6)};
  }
}

// The block's rows of x times its rows of W, over this warp's slabs. Rows that are not there, of x and of W, are computed as copies of the
// last one, and not stored: tensor cores keep rows and columns apart.
template <class T, int kRowTiles, int kOutputTiles, bool kWhole>
__device__ __forceinline__ void multiply_slabs(const FewRowsProduct& args, Index m0, Index n0,
                                               float (&sums)[kRowTiles][kOutputTiles][4]) {
  constexpr int kAhead = kSlabsAhead<kRowTiles, kOutputTiles>, kStep = kWarps * kSlab;
  const int lane = threadIdx.x % kWarp, group = lane / 4, end = static_cast<int>(args.w_stride), K = static_cast<int>(args.K);
  const auto row_of = [group](const void* matrix, Index row, Index rows, Index stride) {
    row += group;
    return static_cast<const T*>(matrix) + (row < rows ? row : rows - 1) * stride;
  };
  const T *x[kRowTiles][2], *w[kOutputTiles];
#pragma unroll
  for (int i = 0; i < 2 * kRowTiles; ++i) x[i / 2][i % 2] = row_of(args.x, m0 + 8 * i, args.M, args.x_stride);
#pragma unroll
  for (int j = 0; j < kOutputTiles; ++j) w[j] = row_of(args.w, n0 + j * kTileOutputs, args.N, args.w_stride);
  uint4 ahead[kAhead][kOutputTiles];
  const auto fetch = [&](uint4(&slab)[kOutputTiles], int k) {
    if (k >= end) return;
#pragma unroll
    for (int j = 0; j < kOutputTiles; ++j) slab[j] = *reinterpret_cast<const uint4*>(w[j] + k);
  };
  const int first = static_cast<int>(threadIdx.x) / kWarp * kSlab + 8 * (lane % 4);
#pragma unroll
  for (int s = 0; s < kAhead; ++s) fetch(ahead[s], first + s * kStep);
  for (int k = first; k < end;) {
#pragma unroll
    for (int s = 0; s < kAhead; ++s, k += kStep) {
      if (k >= end) break;
#pragma unroll
      for (int i = 0; i < kRowTiles; ++i) {
        if (m0 + i * kTileRows >= args.M) break;
        const uint4 upper = load_eight<kWhole>(x[i][0], k, K), lower = load_eight<kWhole>(x[i][1], k, K);
#pragma unroll
        for (int j = 0; j < kOutputTiles; ++j) {
          const uint4 weights = ahead[s][j];
          multiply_16<T>(sums[i][j], {upper.x, lower.x, upper.y, lower.y}, {weights.x, weights.y});
          multiply_16<T>(sums[i][j], {upper.z, lower.z, upper.w, lower.w}, {weights.z, weights.w});
        }
      }
      fetch(ahead[s], k + kAhead * kStep);
    }
  }
}

// A block: kRowTiles tiles of rows and kOutputTiles of columns of y of a product.
template <class T, int kRowTiles, int kOutputTiles, bool kWhole>
__global__ void __launch_bounds__(kThreads, kRowTiles* kOutputTiles >= 16 ? 1 : kRowTiles* kOutputTiles > 1 ? 2 : 3)
    few_rows_16_kernel(const __grid_constant__ FewRowsGroup products) {
  constexpr int kOutputs = kOutputTiles * kTileOutputs, kRows = kRowTiles * kTileRows, kSize = kRows * kOutputs;
  const auto [args, m0, n0] = own_tile<kRows, kOutputs>(products);
  if (m0 == 0) fetch_weights<kWarps, kOutputs>(args, n0, sizeof(T));
  wait_for_previous();
  if (m0 >= args.M) return;
  float sums[kRowTiles][kOutputTiles][4] = {};
  multiply_slabs<T, kRowTiles, kOutputTiles, kWhole>(args, m0, n0, sums);

  float* const of_warps = launch_shared<float>();  // [kWarps][rows][kOutputs]
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp, group = lane / 4, pair = lane % 4;
#pragma unroll
  for (int i = 0; i < kRowTiles; ++i) {
#pragma unroll
    for (int j = 0; j < kOutputTiles; ++j) {
      float* const tile =
          of_warps + warp * kSize + (i * kTileRows + group) * kOutputs + j * kTileOutputs + 2 * pair;
      *reinterpret_cast<float2*>(tile) = {sums[i][j][0], sums[i][j][1]};
      *reinterpret_cast<float2*>(tile + 8 * kOutputs) = {sums[i][j][2], sums[i][j][3]};
    }
  }
  __syncthreads();
  for (int at = static_cast<int>(threadIdx.x); at < kSize; at += kThreads) {
    const Index m = m0 + at / kOutputs, n = n0 + at % kOutputs;
    if (m >= args.M) break;
    if (n >= args.N) continue;
    float sum = 0;
    for (int i = 0; i < kWarps; ++i) sum += of_warps[i * kSize + at];
    finish(args.epilogue, args.y, args.y_type, m * args.N + n, sum);
  }
}

template <class T, int kRowTiles, int kOutputTiles>
void launch_tiles(std::span<const FewRowsProduct> products, Stream stream) {
  constexpr int kRows = kRowTiles * kTileRows, kOutputs = kOutputTiles * kTileOutputs;
  const FewRowsGroup group = group_of(products, kRows, kOutputs);
  const bool slabs =
      all_of(products, [](const FewRowsProduct& of) { return of.K % kSlab == 0 && of.x_stride % 8 == 0 && whole_fours(0, of.x); });
  with_flag(slabs, [&](auto whole) {
    launch(few_rows_16_kernel<T, kRowTiles, kOutputTiles, whole.value>, dim3(group.blocks()), kThreads,
           Index{sizeof(float)} * kWarps * kRows * kOutputs, stream, group);
  });
}

// With fewer in all, fewer columns of y go to a block, so that there are blocks enough for the multiprocessors.
constexpr Index kManyOutputs = 4096;

template <class T>
void launch_for(std::span<const FewRowsProduct> products, Stream stream) {
  Index outputs = 0;
  for (const FewRowsProduct& of : products) outputs += of.N;
  const bool many = outputs >= kManyOutputs;
  if (all_of(products, [](const FewRowsProduct& of) { return of.M <= kTileRows; })) {
    many ? launch_tiles<T, 1, 2>(products, stream) : launch_tiles<T, 1, 1>(products, stream);
  } else {
    many ? launch_tiles<T, 4, 4>(products, stream) : launch_tiles<T, 4, 2>(products, stream);
  }
}

}  // namespace

void few_rows_16(std::span<const FewRowsProduct> products, DType operand, Stream stream) {
  operand == DType::bf16 ? launch_for<Bf16>(products, stream) : launch_for<F16>(products, stream);
}

}  // namespace riverrun::kernels::cuda
