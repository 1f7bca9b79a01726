#include "kernels/reference/wkv7_chunk.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/reference/recurrence.h"

namespace riverrun::kernels::reference {

namespace {

// Matrices are fp32 like those of the kernel that this models, with sums in fp64.

// sum_{j < count} x[j][r] * y[j][c]
double dot(const Matrix& x, Index r, const Matrix& y, Index c, Index count) {
  double sum = 0;
  for (Index j = 0; j < count; ++j) sum += double{x(j, r)} * y(j, c);
  return sum;
}

double dot_rows(const Matrix& x, Index r, const Matrix& y, Index c) {
  double sum = 0;
  for (Index n = 0; n < x.cols; ++n) sum += double{x(r, n)} * y(c, n);
  return sum;
}

// sum_{s < count} x[r][s] * y[s][c]
double product_at(const Matrix& x, Index r, const Matrix& y, Index c, Index count) {
  double sum = 0;
  for (Index s = 0; s < count; ++s) sum += double{x(r, s)} * y(s, c);
  return sum;
}

// The chunk's rows, scaled by decays. p_t is the product of w over rows 0..t, p_{-1} = 1, and c that of the
// first half: with it as reference both p/c and c/p stay within exp(8 * 0.607) = 128 for 16 rows of the
// strongest decay.
struct Chunk {
  Index C;               // rows, at most kChunk
  Matrix a, r, b, k, v;  // a p_{t-1} / c,  r p_t / c,  b c / p_t,  k c / p_t,  v
  std::vector<float> middle, decay, rest;  // c,  p_C,  p_C / c
};

Chunk scale_rows(const Wkv7Args& args, Index first, Index C, Index head, OperandRounding operand) {
  const Index N = args.N, width = args.H * N;
  const auto rows = [&] { return Matrix(C, N); };
  const std::vector<float> channels(N);
  Chunk chunk = {C, rows(), rows(), rows(), rows(), rows(), channels, channels, channels};
  std::vector<double> log_p(kChunk + 1);
  for (Index n = 0; n < N; ++n) {
    const Index at = first * width + head * N + n;
    // Sums of logarithms, not products of w: in long memory the rounding of a running product is what is
    // seen. Rows that are not there do not decay.
    log_p[0] = 0;
    for (Index t = 0; t < kChunk; ++t) log_p[t + 1] = log_p[t] + (t < C ? std::log(double{args.w[at + t * width]}) : 0.0);
    const double middle = log_p[kChunk / 2], last = log_p[kChunk];
    for (Index t = 0; t < C; ++t) {
      const Index i = at + t * width;
      const double before = std::exp(log_p[t] - middle), now = std::exp(log_p[t + 1] - middle);
      chunk.a(t, n) = operand(args.a[i] * before);
      chunk.r(t, n) = operand(args.r[i] * now);
      chunk.b(t, n) = operand(args.b[i] / now);
      chunk.k(t, n) = operand(args.k[i] / now);
      chunk.v(t, n) = operand(args.v[i]);
    }
    chunk.middle[n] = static_cast<float>(std::exp(middle));
    chunk.decay[n] = static_cast<float>(std::exp(last));
    chunk.rest[n] = static_cast<float>(std::exp(last - middle));
  }
  return chunk;
}

// x y^T below the diagonal, which is included where `diagonal` is 1.
Matrix lower_gram(const Matrix& x, const Matrix& y, Index diagonal, OperandRounding kept) {
  Matrix gram(x.rows, x.rows);
  for (Index t = 0; t < x.rows; ++t) {
    for (Index s = 0; s < t + diagonal; ++s) gram(t, s) = kept(dot_rows(x, t, y, s));
  }
  return gram;
}

// (I - L)^-1, row after row: substitution, since powers of L cancel badly.
Matrix inverse_of(const Matrix& L, OperandRounding operand) {
  Matrix x(L.rows, L.rows);
  for (Index t = 0; t < L.rows; ++t) {
    for (Index n = 0; n < L.rows; ++n) x(t, n) = static_cast<float>((t == n ? 1.0 : 0.0) + product_at(L, t, x, n, t));
  }
  for (float& element : x.data) element = operand(element);
  return x;
}

// What a chunk says of itself, without knowing the state.
struct Factors {
  Matrix from_keys, of_removed, of_keys;  // a k^T,  r b^T,  r k^T
  Matrix inverse;                         // (I - a b^T)^-1
};

Factors factorize(const Chunk& chunk, OperandRounding operand) {
  const OperandRounding fp32(DType::f32);  // substitution takes L as it is
  return {lower_gram(chunk.a, chunk.k, 0, operand), lower_gram(chunk.r, chunk.b, 1, operand),
          lower_gram(chunk.r, chunk.k, 1, operand), inverse_of(lower_gram(chunk.a, chunk.b, 0, fp32), operand)};
}

// The part that depends on the chunk before, S in and out:
//   (I - L) U = S_c a^T + Mak v,   Y = S_c r^T + Mrk v + Mrb U,   S' = S diag(p_C) + (U^T b + v^T k) diag(p_C / c)
// with S_c = S diag(c).
void apply(const Chunk& chunk, const Factors& factors, Matrix& S, float* y, Index width, OperandRounding operand) {
  const Index C = chunk.C, N = S.rows;
  Matrix state(N, N), right_side(C, N), removed(C, N);
  for (Index v = 0; v < N; ++v) {
    for (Index k = 0; k < N; ++k) state(v, k) = operand(double{S(v, k)} * chunk.middle[k]);
  }
  for (Index t = 0; t < C; ++t) {
    for (Index v = 0; v < N; ++v) {
      right_side(t, v) = operand(dot_rows(chunk.a, t, state, v) + product_at(factors.from_keys, t, chunk.v, v, t));
    }
  }
  for (Index t = 0; t < C; ++t) {
    for (Index v = 0; v < N; ++v) {
      removed(t, v) = operand(product_at(factors.inverse, t, right_side, v, t + 1));
      y[t * width + v] = static_cast<float>(dot_rows(chunk.r, t, state, v) + product_at(factors.of_keys, t, chunk.v, v, t + 1) +
                                            product_at(factors.of_removed, t, removed, v, t + 1));
    }
  }
  for (Index v = 0; v < N; ++v) {
    for (Index k = 0; k < N; ++k) {
      const double added = dot(removed, v, chunk.b, k, C) + dot(chunk.v, v, chunk.k, k, C);
      S(v, k) = static_cast<float>(double{S(v, k)} * chunk.decay[k] + added * chunk.rest[k]);
    }
  }
}

}  // namespace

void wkv7_chunk(const Wkv7Args& args, Stream) {
  const Index N = args.N, width = args.H * N;
  const OperandRounding operand(args.operand);
  for_each_head(args, [&](const Segment& segment, Index head, Matrix& S) {
    for (Index t = segment.begin; t < segment.end; t += kChunk) {
      const Chunk chunk = scale_rows(args, t, std::min(kChunk, segment.end - t), head, operand);
      apply(chunk, factorize(chunk, operand), S, args.y + t * width + head * N, width, operand);
    }
  });
}

}  // namespace riverrun::kernels::reference
