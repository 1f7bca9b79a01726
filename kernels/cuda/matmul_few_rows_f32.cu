// Few rows in fp32. The columns of W are dealt to the threads of a block in fours; each thread sums its own
// for all rows and outputs of the block, then the partial sums of an output are added thread by thread.
#include "kernels/cuda/epilogue.cuh"
#include "kernels/cuda/few_rows.cuh"

namespace riverrun::kernels::cuda {

namespace {

constexpr int kOutputs = 4;   // columns of y of a block
constexpr int kMostRows = 8;  // rows of a block

template <int kRows, int kWarps>
struct Partial {
  float of_thread[kWarps * kWarp][kRows * kOutputs + 1];  // one more: neighbours then lie in different banks
  float of_warp[kWarps][kRows * kOutputs];
};

// A block: kRows rows and kOutputs columns of y of a product.
template <int kRows, int kWarps, bool kWhole>
__global__ void __launch_bounds__(kWarps* kWarp)
    few_rows_f32_kernel(const __grid_constant__ FewRowsGroup products) {
  const auto [args, m0, n0] = own_tile<kRows, kOutputs>(products);
  if (m0 == 0) fetch_weights<kWarps, kOutputs>(args, n0, sizeof(float));
  wait_for_previous();
  if (m0 >= args.M) return;
  const float *x = static_cast<const float*>(args.x) + m0 * args.x_stride,
              *w = static_cast<const float*>(args.w) + n0 * args.w_stride;
  const int rows = static_cast<int>(args.M - m0 < kRows ? args.M - m0 : kRows),
            outputs = static_cast<int>(args.N - n0 < kOutputs ? args.N - n0 : kOutputs);
  float sums[kRows][kOutputs] = {};
  for (Index k = 4 * Index{threadIdx.x}; k < args.K; k += 4 * kWarps * kWarp) {
    float4 weights[kOutputs];
#pragma unroll
    for (int n = 0; n < kOutputs; ++n) {
      weights[n] = n < outputs ? load_four<true>(w + n * args.w_stride, k, args.K) : all_four(0);
    }
#pragma unroll
    for (int m = 0; m < kRows; ++m) {
      if (m >= rows) break;
      const float4 four = load_four<kWhole>(x + m * args.x_stride, k, args.K);
#pragma unroll
      for (int n = 0; n < kOutputs; ++n) {
        float& sum = sums[m][n];
        sum = fmaf(four.x, weights[n].x, sum), sum = fmaf(four.y, weights[n].y, sum);
        sum = fmaf(four.z, weights[n].z, sum), sum = fmaf(four.w, weights[n].w, sum);
      }
    }
  }
  auto& partial = block_shared<Partial<kRows, kWarps>>();
#pragma unroll
  for (int i = 0; i < kRows * kOutputs; ++i)
    partial.of_thread[threadIdx.x][i] = sums[i / kOutputs][i % kOutputs];
  __syncthreads();
  constexpr int kSize = kRows * kOutputs;
  static_assert(kSize <= kWarp);
  const int output = static_cast<int>(threadIdx.x) % kSize, warp = static_cast<int>(threadIdx.x) / kSize;
  if (warp < kWarps) {
    float sum = 0;
    for (int i = 0; i < kWarp; ++i) sum += partial.of_thread[warp * kWarp + i][output];
    partial.of_warp[warp][output] = sum;
  }
  __syncthreads();
  const int m = output / kOutputs, n = output % kOutputs;
  if (warp > 0 || m >= rows || n >= outputs) return;
  float sum = 0;
  for (int i = 0; i < kWarps; ++i) sum += partial.of_warp[i][output];
  finish(args.epilogue, args.y, args.y_type, (m0 + m) * args.N + n0 + n, sum);
}

template <int kRows, int kWarps>
void launch_rows(std::span<const FewRowsProduct> products, Stream stream) {
  const FewRowsGroup group = group_of(products, kRows, kOutputs);
  const bool fours = all_of(products, [](const FewRowsProduct& of) { return whole_fours(of.K, of.x) && of.x_stride % 4 == 0; });
  with_flag(fours, [&](auto whole) {
    launch(few_rows_f32_kernel<kRows, kWarps, whole.value>, dim3(group.blocks()), kWarps * kWarp, 0, stream, group);
  });
}

constexpr int kFewWarps = 2, kManyWarps = 8;

template <int kRows>
void launch_for(std::span<const FewRowsProduct> products, Stream stream) {
  few_warps(products.front()) ? launch_rows<kRows, kFewWarps>(products, stream) : launch_rows<kRows, kManyWarps>(products, stream);
}

}  // namespace

// By the number of columns alone.
bool few_warps(const FewRowsProduct& product) { return product.K <= 4 * kFewWarps * kWarp; }

void few_rows_f32(std::span<const FewRowsProduct> products, Stream stream) {
  const bool one_row = all_of(products, [](const FewRowsProduct& of) { return of.M == 1; });
  one_row ? launch_for<1>(products, stream) : launch_for<kMostRows>(products, stream);
}

}  // namespace riverrun::kernels::cuda
