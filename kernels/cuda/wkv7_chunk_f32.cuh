// One chunk of WKV-7 for models of fp32 (docs/wkv.md, "The chunked form"): what is in shared memory, and how it gets there.
//
// With p_t the product of decays up to token t of the chunk and c the product up to its middle, per key
// channel, rows are a p_{t-1} / c, r p_t / c, b c / p_t and k c / p_t, for the products within the chunk and
// for those with the state alike: the state is read as S diag(c), and what the chunk adds to it is multiplied
// by p_C / c. Everything is fp32, and the tensor cores' operands are split (tf32.cuh).
#pragma once

#include "kernels/cuda/copy_async.cuh"
#include "kernels/cuda/wkv7_chunk.h"
#include "kernels/cuda/wkv7_solve.cuh"

namespace riverrun::kernels::cuda {

inline constexpr int kC = kChunkTokens;
enum Operand { kA, kR, kB, kK, kV, kOperands };
enum Gram { kL, kMak, kMrb, kMrk, kGrams };

struct ChunkParameters {
  Index D, first_head;
  const float *operands[kOperands], *w;
  float* y;
  int slots;
};

// A chunk, from what is fetched to what is ready for the state; all of it in place. Its functions are called
// by all kThreads threads of a crew, each with a number of its own, `thread`, and with a barrier of the crew
// between two of them.
template <int N>
struct Wkv7Chunk {
  static constexpr Tf32 kind = Tf32::split;
  static constexpr int kWarps = N / 16, kThreads = kWarps * kWarp;
  static_assert(kThreads == 2 * N, "a thread has a channel of half the tokens");
  static constexpr int kRow = N + kPadding, kGramRow = kC + 8;
  __device__ __forceinline__ static constexpr int row_of(int operand, int t) {
    return operand == kA || operand == kR ? t : place_of(t);  // the others are read along columns, too
  }

  float operands[kOperands][kC][kRow];
  float middle[N], decay[N], rest[N];  // c, p_C, p_C / c
  struct Within {
    float grams[kGrams][kC][kGramRow];  // of a, r with b, k: [t][s]
    float inverse[kC][kGramRow];        // (I - L)^-1
  };
  union {
    float w[kC][N];
    Within within;  // nothing of w is left then
  };

  // Starts to fetch the chunk of `tokens` rows from `at` on, a place in every operand: a token's row at the
  // head's first channel. Rows that are not there neither decay nor write.
  __device__ __forceinline__ void fetch(const ChunkParameters& args, Index at, int tokens, int thread) {
    constexpr int kFours = N / 4, kRows = kThreads / kFours;
    const int column = thread % kFours * 4;
    at += column;
#pragma unroll
    for (int t = thread / kFours, part = 0; part < kC / kRows; ++part, t += kRows) {
      const Index row = at + t * args.D;
#pragma unroll
      for (int i = 0; i < kOperands; ++i) {
        fetch_four(&operands[i][row_of(i, t)][column], args.operands[i] + row, t < tokens, 0);
      }
      fetch_four(&w[t][column], args.w + row, t < tokens, 1);
    }
  }

  // Rows, relative to the middle: decays are products of at most eight w from there, or one over that, up to 128
  // since w > 0.545.
  __device__ __forceinline__ void scale(int thread) {
    if (thread < N) {
      scale_to_middle(thread);
    } else {
      scale_from_middle(thread - N);
    }
  }

  // A warp has whole products of rows, and the one that has L inverts I - L: another in every `turn`, since
  // it takes longer.
  __device__ __forceinline__ void multiply_rows(int thread, unsigned turn) {
    const int lane = thread % kWarp, first = static_cast<int>((thread / kWarp + turn) % kWarps);
    for (int gram = first; gram < kGrams; gram += kWarps) multiply_rows_of(gram, lane);
    if (first != kL) return;
    __syncwarp();
    invert(lane);
  }

 private:
  __device__ __forceinline__ static void fetch_four(float* to, const float* from, bool there,
                                                    float otherwise) {
    if (there) {
      copy_16_async(to, from);
    } else {
      *reinterpret_cast<float4*>(to) = all_four(otherwise);
    }
  }
  __device__ __forceinline__ void multiply_by(int operand, int t, int n, float factor) {
    operands[operand][row_of(operand, t)][n] *= factor;
  }

  // Backward through the first half.
  __device__ __forceinline__ void scale_to_middle(int n) {
    LongProduct product;
    float to_middle = 1, back = 1;  // c / p_t, p_t / c
#pragma unroll
    for (int t = kC / 2 - 1; t >= 0; --t) {
      multiply_by(kB, t, n, to_middle), multiply_by(kK, t, n, to_middle), multiply_by(kR, t, n, back);
      product.multiply(w[t][n]);
      to_middle = product.value(), back = reciprocal(to_middle);
      multiply_by(kA, t, n, back);
    }
    middle[n] = to_middle;
  }

  // Forward through the second half, and the whole chunk's decay.
  __device__ __forceinline__ void scale_from_middle(int n) {
    LongProduct product;
    float from_middle = 1;  // p_t / c
#pragma unroll
    for (int t = kC / 2; t < kC; ++t) {
      multiply_by(kA, t, n, from_middle);
      product.multiply(w[t][n]);
      from_middle = product.value();
      const float back = reciprocal(from_middle);
      multiply_by(kR, t, n, from_middle), multiply_by(kB, t, n, back), multiply_by(kK, t, n, back);
    }
    rest[n] = from_middle;
#pragma unroll
    for (int t = 0; t < kC / 2; ++t) product.multiply(w[t][n]);
    decay[n] = product.value();
  }

  // The lower part, with the diagonal for r.
  __device__ __forceinline__ void multiply_rows_of(int gram, int lane) {
    const int group = lane / 4, pair = lane % 4;
    const bool of_r = gram == kMrb || gram == kMrk, of_b = gram == kL || gram == kMrb;
    const float *left = operands[of_r ? kR : kA][0], *right = operands[of_b ? kB : kK][0];
    float d[2][4] = {};
#pragma unroll
    for (int n = 0; n < N; n += 8) {
      const auto rows = left_rows<kind>(left, kRow, n);
#pragma unroll
      for (int half = 0; half < 2; ++half)
        multiply(d[half], rows, right_rows<kind>(right, kRow, 8 * half, n));
    }
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const int t = group + i % 4 / 2 * 8, s = row_at(i / 4 * 8 + 2 * pair + i % 2);
      const float sum = s < t + (of_r ? 1 : 0) ? d[i / 4][i % 4] : 0.0f;  // chosen, not multiplied by 0
      within.grams[gram][t][s] = sum;
    }
  }

  // A lane has a column.
  __device__ __forceinline__ void invert(int lane) {
    const int column = lane % kC;
    float x[kC];
    inverse_column(within.grams[kL], column, x);
    if (lane >= kC) return;
#pragma unroll
    for (int t = 0; t < kC; ++t) within.inverse[t][column] = x[t];
  }
};

}  // namespace riverrun::kernels::cuda
