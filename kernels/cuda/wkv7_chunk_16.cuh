// One chunk of WKV-7 for models of 16 bits (docs/wkv.md, "The chunked form"): what is in shared memory, and how it gets there.
//
// As in wkv7_chunk_f32.cuh, rows are a p_{t-1} / c, r p_t / c, b c / p_t and k c / p_t. They are kept in fp16, which has as many
// digits as TF32: |a| and |b| are at most 1 and decays between 1/128 and 128; r and k may be up to 511 times that, v and the products of
// rows up to 65,504. What leaves that range is infinite and makes y no number.
#pragma once

#include "kernels/cuda/f16.cuh"
#include "kernels/cuda/wkv7_chunk.h"
#include "kernels/cuda/wkv7_solve.cuh"

namespace riverrun::kernels::cuda {

struct Chunk16Parameters {
  Index D, first_head;
  const float *a, *r, *b, *k, *v, *w;
  float* y;

  static Chunk16Parameters of(const Wkv7Args& args) {
    return {.D = args.H * args.N, .first_head = args.first_head, .a = args.a, .r = args.r, .b = args.b, .k = args.k, .v = args.v,
            .w = args.w, .y = args.y};
  }
};

// The rows that a thread of a crew has on their way: two channels of half of the tokens.
struct Wkv7Rows {
  static constexpr int kTokens = kChunkTokens / 2;
  float2 a[kTokens], r[kTokens], b[kTokens], k[kTokens], v[kTokens], w[kTokens];

  // `at`: the place of the first, in every operand; `tokens` of them are there. The others neither decay nor write.
  __device__ __forceinline__ void load(const Chunk16Parameters& args, Index at, int tokens) {
    if (tokens >= kTokens) {
      load_if(args, at, [](int) { return true; });
    } else {
      load_if(args, at, [tokens](int t) { return t < tokens; });
    }
  }

 private:
  template <class There>
  __device__ __forceinline__ void load_if(const Chunk16Parameters& args, Index at, There&& there) {
    const int D = static_cast<int>(args.D);  // 64 bits take another instruction for an address
#pragma unroll
    for (int t = 0; t < kTokens; ++t) {
      const auto two = [&](const float* from, float otherwise) {
        return there(t) ? *reinterpret_cast<const float2*>(from + at + t * D) : float2{otherwise, otherwise};
      };
      a[t] = two(args.a, 0), r[t] = two(args.r, 0), b[t] = two(args.b, 0), k[t] = two(args.k, 0), v[t] = two(args.v, 0);
      w[t] = two(args.w, 1);
    }
  }
};

// Its functions are called by all kThreads threads of a crew, with a barrier of the crew between scale() and multiply_rows().
template <int N>
struct Wkv7Chunk16 {
  static constexpr int kThreads = N, kWarps = kThreads / kWarp, kPairs = N / 2;
  // With 16 bytes to a row more than a multiple of 128, or 48 in all, eight rows meet different banks; and so do pairs of L.
  static constexpr int kRow = N + 8, kGramRow = kChunkTokens + 8, kSolveRow = kChunkTokens + 8;
  using Rows = Squares<kRow>;
  using Grams = Squares<kGramRow>;

  alignas(16) F16 a[kChunkTokens][kRow];
  F16 r[kChunkTokens][kRow], b[kChunkTokens][kRow], k[kChunkTokens][kRow], v[kChunkTokens][kRow];
  F16 from_keys[kChunkTokens][kGramRow], of_removed[kChunkTokens][kGramRow], of_keys[kChunkTokens][kGramRow];  // a k^T, r b^T, r k^T
  F16 inverse[kChunkTokens][kGramRow];  // the transpose of (I - L)^-1
  float middle[N], rest[N], decay[N];   // c, p_C / c, p_C
  // From here on for the crew alone.
  float L[kChunkTokens][kSolveRow];  // a b^T
  float high[2][N], low[2][N];       // of c and p_C / c

  // Decays are products of at most eight w from the middle of the chunk, or one over that, up to 128 since w > 0.545.
  __device__ __forceinline__ void scale(const Wkv7Rows& rows, unsigned thread) {
    const int n = static_cast<int>(thread % kPairs * 2), half = static_cast<int>(thread / kPairs);
    LongProduct product[2];
    half == 0 ? scale_to_middle(rows, n, product) : scale_from_middle(rows, n, product);
    keep_two(half == 0 ? middle : rest, n, product[0].value(), product[1].value());
    keep_two(high[half], n, product[0].high, product[1].high);
    keep_two(low[half], n, product[0].low, product[1].low);
  }

  // One warp has L and inverts I - L, one the other products of rows: another in every `turn`, since the first takes longer.
  __device__ __forceinline__ void multiply_rows(unsigned thread, unsigned turn) {
    const unsigned lane = thread % kWarp, warp = (thread / kWarp + turn) % kWarps;
    LongProduct product = {high[0][thread], low[0][thread]};
    product.multiply({high[1][thread], low[1][thread]});
    decay[thread] = product.value();
    if (warp == kWarps - 1) multiply_others();
    if (warp == 0) {
      float d[2][4] = {};
#pragma unroll
      for (int n = 0; n < N; n += 16) multiply(d, Rows::left(&a[0][n]), Rows::right_of_rows(&b[0][n]));
      for_each_pair([&](int t, int s, int tile, int at) { keep_below<0>(L, t, s, d[tile][at], d[tile][at + 1]); });
      __syncwarp();
      invert(static_cast<int>(lane));
    }
  }

 private:
  using Matrix = F16[kChunkTokens][kRow];

  __device__ __forceinline__ static void keep_two(F16* row, int n, float first, float second) {
    store_packed(row + n, pack_f16(first, second));
  }
  __device__ __forceinline__ static void keep_two(float* row, int n, float first, float second) {
    *reinterpret_cast<float2*>(row + n) = {first, second};
  }
  __device__ __forceinline__ static void keep(Matrix& matrix, int t, int n, float2 x, const float (&by)[2]) {
    keep_two(matrix[t], n, x.x * by[0], x.y * by[1]);
  }
  // Chosen, not multiplied by 0.
  template <int diagonal, class Gram>
  __device__ __forceinline__ static void keep_below(Gram& gram, int t, int s, float first, float second) {
    keep_two(gram[t], s, s < t + diagonal ? first : 0.0f, s + 1 < t + diagonal ? second : 0.0f);
  }
  // f(t, s, tile, i): this thread has rows t times rows s and s + 1 in registers i and i + 1 of a tile of results.
  template <class Function>
  __device__ __forceinline__ static void for_each_pair(Function&& f) {
    const int lane = threadIdx.x % kWarp, group = lane / 4, pair = lane % 4;
#pragma unroll
    for (int tile = 0; tile < 2; ++tile) {
#pragma unroll
      for (int lower = 0; lower < 2; ++lower) f(group + 8 * lower, 8 * tile + 2 * pair, tile, 2 * lower);
    }
  }

  // Backward through the first half.
  __device__ __forceinline__ void scale_to_middle(const Wkv7Rows& rows, int n, LongProduct (&product)[2]) {
    float to_middle[2] = {1, 1}, back[2] = {1, 1};  // c / p_t, p_t / c
#pragma unroll
    for (int t = Wkv7Rows::kTokens - 1; t >= 0; --t) {
      keep(b, t, n, rows.b[t], to_middle), keep(k, t, n, rows.k[t], to_middle), keep(r, t, n, rows.r[t], back);
      multiply_by(product, rows.w[t], to_middle, back);
      keep(a, t, n, rows.a[t], back);
      keep_two(v[t], n, rows.v[t].x, rows.v[t].y);
    }
  }
  // Forward through the second.
  __device__ __forceinline__ void scale_from_middle(const Wkv7Rows& rows, int n, LongProduct (&product)[2]) {
    float from_middle[2] = {1, 1}, back[2];  // p_t / c, c / p_t
#pragma unroll
    for (int i = 0; i < Wkv7Rows::kTokens; ++i) {
      const int t = Wkv7Rows::kTokens + i;
      keep(a, t, n, rows.a[i], from_middle);
      multiply_by(product, rows.w[i], from_middle, back);
      keep(r, t, n, rows.r[i], from_middle), keep(b, t, n, rows.b[i], back), keep(k, t, n, rows.k[i], back);
      keep_two(v[t], n, rows.v[i].x, rows.v[i].y);
    }
  }
  __device__ __forceinline__ static void multiply_by(LongProduct (&product)[2], float2 w, float (&value)[2], float (&inverse)[2]) {
    product[0].multiply(w.x), product[1].multiply(w.y);
#pragma unroll
    for (int i = 0; i < 2; ++i) value[i] = product[i].value(), inverse[i] = reciprocal(value[i]);
  }

  // All but L, side by side.
  __device__ __forceinline__ void multiply_others() {
    float ak[2][4] = {}, rb[2][4] = {}, rk[2][4] = {};
#pragma unroll
    for (int n = 0; n < N; n += 16) {
      const Left16 rows_a = Rows::left(&a[0][n]), rows_r = Rows::left(&r[0][n]);
      const Right16 rows_b = Rows::right_of_rows(&b[0][n]), rows_k = Rows::right_of_rows(&k[0][n]);
      multiply(ak, rows_a, rows_k), multiply(rb, rows_r, rows_b), multiply(rk, rows_r, rows_k);
    }
    for_each_pair([&](int t, int s, int tile, int i) {
      keep_below<0>(from_keys, t, s, ak[tile][i], ak[tile][i + 1]);
      keep_below<1>(of_removed, t, s, rb[tile][i], rb[tile][i + 1]);
      keep_below<1>(of_keys, t, s, rk[tile][i], rk[tile][i + 1]);
    });
  }

  // A lane has a column.
  __device__ __forceinline__ void invert(int lane) {
    const int column = lane % kChunkTokens;
    float x[kChunkTokens];
    inverse_column(L, column, x);
    if (lane >= kChunkTokens) return;
#pragma unroll
    for (int t = 0; t < kChunkTokens; t += 8) {
      store_packed(&inverse[column][t], uint4{pack_f16(x[t], x[t + 1]), pack_f16(x[t + 2], x[t + 3]), pack_f16(x[t + 4], x[t + 5]),
                                              pack_f16(x[t + 6], x[t + 7])});
    }
  }
};

}  // namespace riverrun::kernels::cuda
