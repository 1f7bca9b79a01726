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
__device__ __forceinline__ void multiply_slabs(const FewRowsProduct& args, Index m0, Index n0,
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

// A block: kRowTiles tiles of rows and kOutputTiles of columns of y of a product.
template <class T, int kRowTiles, int kOutputTiles, bool kWhole>
__global__ void __launch_bounds__(kThreads, kRowTiles* kOutputTiles >= 16 ? 1 : kRowTiles > 1 ? 2 : 3)
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
  const bool eights =
      all_of(products, [](const FewRowsProduct& of) { return of.K % 8 == 0 && of.x_stride % 8 == 0 && whole_fours(0, of.x); });
  with_flag(eights, [&](auto whole) {
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
