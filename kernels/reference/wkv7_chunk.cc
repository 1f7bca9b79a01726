#include "kernels/reference/wkv7_chunk.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/reference/recurrence.h"

namespace riverrun::kernels::reference {

namespace {

// Matrices are fp32 like the operands of the kernel that this models, with sums in fp64.

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
// middle row: with it as reference both p/c and c/p stay within exp(8 * 0.607) = 128 for 16 rows of the
// strongest decay.
struct Chunk {
  Index C;                            // rows, at most kChunk
  Matrix a_ref, r_ref, b_ref, k_ref;  // a p_{t-1} / c,  r p_t / c,  b c / p_t,  k c / p_t
  Matrix a_in, r_in;                  // a p_{t-1},  r p_t: they meet the incoming state
  Matrix b_out, k_out, v;             // b p_C / p_t,  k p_C / p_t: they make the outgoing one
  std::vector<float> decay;           // p_C
};

Chunk scale_rows(const Wkv7Args& args, Index first, Index C, Index head) {
  const Index N = args.N, width = args.H * N;
  const auto rows = [&] { return Matrix(C, N); };
  Chunk chunk = {
      C, rows(), rows(), rows(), rows(), rows(), rows(), rows(), rows(), rows(), std::vector<float>(N)};
  std::vector<double> log_p(C + 1);
  for (Index n = 0; n < N; ++n) {
    const Index at = first * width + head * N + n;
    // Sums of logarithms, not products of w: in long memory the rounding of a running product is what is
    // seen.
    log_p[0] = 0;
    for (Index t = 0; t < C; ++t) log_p[t + 1] = log_p[t] + std::log(double{args.w[at + t * width]});
    const double middle = log_p[(C + 1) / 2], last = log_p[C];
    for (Index t = 0; t < C; ++t) {
      const Index i = at + t * width;
      const double before = log_p[t], now = log_p[t + 1];
      chunk.a_ref(t, n) = static_cast<float>(args.a[i] * std::exp(before - middle));
      chunk.r_ref(t, n) = static_cast<float>(args.r[i] * std::exp(now - middle));
      chunk.b_ref(t, n) = static_cast<float>(args.b[i] * std::exp(middle - now));
      chunk.k_ref(t, n) = static_cast<float>(args.k[i] * std::exp(middle - now));
      chunk.a_in(t, n) = static_cast<float>(args.a[i] * std::exp(before));
      chunk.r_in(t, n) = static_cast<float>(args.r[i] * std::exp(now));
      chunk.b_out(t, n) = static_cast<float>(args.b[i] * std::exp(last - now));
      chunk.k_out(t, n) = static_cast<float>(args.k[i] * std::exp(last - now));
      chunk.v(t, n) = args.v[i];
    }
    chunk.decay[n] = static_cast<float>(std::exp(last));
  }
  return chunk;
}

// x y^T below the diagonal, which is included where `diagonal` is 1.
Matrix lower_gram(const Matrix& x, const Matrix& y, Index diagonal) {
  Matrix gram(x.rows, x.rows);
  for (Index t = 0; t < x.rows; ++t) {
    for (Index s = 0; s < t + diagonal; ++s) gram(t, s) = static_cast<float>(dot_rows(x, t, y, s));
  }
  return gram;
}

// What a chunk does to any incoming state S, without knowing it:
//   X = S W^T,   S_C = S diag(p_C) + X B^ + G,   Y = Q S^T + Yl
struct Factors {
  Matrix W, Q, Yl, G;
};

// (I - L) x = rhs, row after row, column by column: in place. Substitution, since powers of L cancel badly.
void solve(const Matrix& L, Matrix& x) {
  for (Index t = 0; t < x.rows; ++t) {
    for (Index n = 0; n < x.cols; ++n) x(t, n) = static_cast<float>(x(t, n) + product_at(L, t, x, n, t));
  }
}

Factors factorize(const Chunk& chunk) {
  const Index C = chunk.C, N = chunk.v.cols;
  const Matrix L = lower_gram(chunk.a_ref, chunk.b_ref, 0),
               from_keys = lower_gram(chunk.a_ref, chunk.k_ref, 0);
  const Matrix of_removed = lower_gram(chunk.r_ref, chunk.b_ref, 1),
               of_keys = lower_gram(chunk.r_ref, chunk.k_ref, 1);
  Factors factors = {chunk.a_in, chunk.r_in, Matrix(C, N), Matrix(N, N)};
  Matrix local(C, N);  // u of each row from a zero state
  for (Index t = 0; t < C; ++t) {
    for (Index n = 0; n < N; ++n) local(t, n) = static_cast<float>(product_at(from_keys, t, chunk.v, n, t));
  }
  solve(L, factors.W);
  solve(L, local);
  for (Index t = 0; t < C; ++t) {
    for (Index n = 0; n < N; ++n) {
      factors.Q(t, n) = static_cast<float>(chunk.r_in(t, n) + product_at(of_removed, t, factors.W, n, t + 1));
      factors.Yl(t, n) = static_cast<float>(product_at(of_removed, t, local, n, t + 1) +
                                            product_at(of_keys, t, chunk.v, n, t + 1));
    }
  }
  for (Index v = 0; v < N; ++v) {
    for (Index k = 0; k < N; ++k) {
      factors.G(v, k) =
          static_cast<float>(dot(local, v, chunk.b_out, k, C) + dot(chunk.v, v, chunk.k_out, k, C));
    }
  }
  return factors;
}

// The state pass: two small products that depend on the chunk before, S in and out.
void apply(const Chunk& chunk, const Factors& factors, Matrix& S, float* y, Index width) {
  const Index C = chunk.C, N = S.rows;
  Matrix X(C, N);  // transposed: row t is u of token t, as far as it comes from S
  for (Index t = 0; t < C; ++t) {
    for (Index v = 0; v < N; ++v) {
      X(t, v) = static_cast<float>(dot_rows(factors.W, t, S, v));
      y[t * width + v] = static_cast<float>(dot_rows(factors.Q, t, S, v) + factors.Yl(t, v));
    }
  }
  for (Index v = 0; v < N; ++v) {
    for (Index k = 0; k < N; ++k) {
      S(v, k) = static_cast<float>(double{S(v, k)} * chunk.decay[k] + dot(X, v, chunk.b_out, k, C) +
                                   factors.G(v, k));
    }
  }
}

}  // namespace

void wkv7_chunk(const Wkv7Args& args, Stream) {
  const Index N = args.N, width = args.H * N;
  for_each_head(args, [&](const Segment& segment, Index head, Matrix& S) {
    for (Index t = segment.begin; t < segment.end; t += kChunk) {
      const Chunk chunk = scale_rows(args, t, std::min(kChunk, segment.end - t), head);
      apply(chunk, factorize(chunk), S, args.y + t * width + head * N, width);
    }
  });
}

}  // namespace riverrun::kernels::reference
