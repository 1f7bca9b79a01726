// Few rows in bf16 and fp16, on the tensor cores. A warp takes every eighth slab of 32 columns of W and
// multiplies it with all rows and outputs of its block; the warps' sums are added in their order. A lane
// reads 8 neighbouring columns at once, of W and of x alike: which column stands for which k inside a product
// makes no difference to it.
#include "kernels/cuda/epilogue.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/matmul_few_rows.h"
#include "kernels/cuda/mma.cuh"

namespace riverrun::kernels::cuda {

namespace {

constexpr int kThreads = 256, kWarps = kThreads / kWarp;
constexpr int kTileRows = 16, kTileOutputs = 8;
constexpr int kSlab = 32;  // columns of W
static_assert(kSlab == kColumnsAtOnce);

// Columns [at, at + 8) of a row of x; those from K on are 0.
template <bool kWhole, class T>
__device__ __forceinline__ uint4 load_eight(const T* row, Index at, Index K) {
  if constexpr (kWhole) {
    return at < K ? *reinterpret_cast<const uint4*>(row + at) : uint4{0, 0, 0, 0};
  } else {
    const auto pair = [&](Index k) {
      const std::uint32_t low = k < K ? row[k].bits : 0u, high = k + 1 < K ? row[k + 1].bits : 0u;
      return low | high << 16;
    };
    return {pair(at), pair(at + 2), pair(at + 4), pair(at + 6)};
  }
}

// The block's rows of x times its rows of W, over this warp's slabs.
template <class T, int kRowTiles, int kOutputTiles, bool kWhole>
__device__ __forceinline__ void multiply_slabs(const FewRowsParameters& args, Index m0, Index n0,
                                               float (&sums)[kRowTiles][kOutputTiles][4]) {
  const unsigned lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  const Index group = lane / 4, column = 8 * (lane % 4);
  const T *x = static_cast<const T*>(args.x) + (m0 + group) * args.x_stride,
          *w = static_cast<const T*>(args.w) + (n0 + group) * args.w_stride;
  for (Index k = Index{warp} * kSlab + column; k < args.w_stride; k += kWarps * kSlab) {
    uint4 weights[kOutputTiles];
#pragma unroll
    for (int j = 0; j < kOutputTiles; ++j) {
      weights[j] = n0 + group + j * kTileOutputs < args.N
                       ? *reinterpret_cast<const uint4*>(w + j * kTileOutputs * args.w_stride + k)
                       : uint4{0, 0, 0, 0};
    }
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i) {
      const Index m = m0 + i * kTileRows;
      if (m >= args.M) break;
      uint4 upper = {0, 0, 0, 0}, lower = {0, 0, 0, 0};
      const T* row = x + i * kTileRows * args.x_stride;
      if (m + group < args.M) upper = load_eight<kWhole>(row, k, args.K);
      if (m + group + 8 < args.M) lower = load_eight<kWhole>(row + 8 * args.x_stride, k, args.K);
#pragma unroll
      for (int j = 0; j < kOutputTiles; ++j) {
        multiply_16<T>(sums[i][j], {upper.x, lower.x, upper.y, lower.y}, {weights[j].x, weights[j].y});
        multiply_16<T>(sums[i][j], {upper.z, lower.z, upper.w, lower.w}, {weights[j].z, weights[j].w});
      }
    }
  }
}

// blockIdx.x: kOutputTiles tiles of columns of y, blockIdx.y: kRowTiles tiles of rows.
template <class T, int kRowTiles, int kOutputTiles, bool kWhole>
__global__ void __launch_bounds__(kThreads, kRowTiles* kOutputTiles >= 16 ? 1 : 3)
    few_rows_16_kernel(const __grid_constant__ FewRowsParameters args) {
  constexpr int kOutputs = kOutputTiles * kTileOutputs, kSize = kRowTiles * kTileRows * kOutputs;
  const Index m0 = Index{blockIdx.y} * kRowTiles * kTileRows, n0 = Index{blockIdx.x} * kOutputs;
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
void launch_tiles(const FewRowsParameters& parameters, Stream stream) {
  constexpr int kRows = kRowTiles * kTileRows, kOutputs = kOutputTiles * kTileOutputs;
  const dim3 blocks(blocks_for(parameters.N, kOutputs), blocks_for(parameters.M, kRows));
  const bool eights = parameters.K % 8 == 0 && parameters.x_stride % 8 == 0 && whole_fours(0, parameters.x);
  with_flag(eights, [&](auto whole) {
    launch(few_rows_16_kernel<T, kRowTiles, kOutputTiles, whole.value>, blocks, kThreads,
           Index{sizeof(float)} * kWarps * kRows * kOutputs, stream, parameters);
  });
}

// Below this, fewer columns of y go to a block, so that there are blocks enough for the multiprocessors.
constexpr Index kManyOutputs = 4096;

template <class T>
void launch_for(const FewRowsParameters& parameters, Stream stream) {
  const bool many = parameters.N >= kManyOutputs;
  if (parameters.M <= kTileRows) {
    many ? launch_tiles<T, 1, 2>(parameters, stream) : launch_tiles<T, 1, 1>(parameters, stream);
  } else {
    many ? launch_tiles<T, 4, 4>(parameters, stream) : launch_tiles<T, 4, 2>(parameters, stream);
  }
}

}  // namespace

void few_rows_16(const FewRowsParameters& parameters, DType operand, Stream stream) {
  operand == DType::bf16 ? launch_for<Bf16>(parameters, stream) : launch_for<F16>(parameters, stream);
}

}  // namespace riverrun::kernels::cuda
