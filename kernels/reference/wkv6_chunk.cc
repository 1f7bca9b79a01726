#include "kernels/reference/wkv6_chunk.h"

#include <algorithm>
#include <vector>

#include "kernels/reference/recurrence.h"

namespace riverrun::kernels::reference {

namespace {

// Matrices are fp32 like the operands of the kernel that this models, with sums in fp64.

// What a chunk does to any incoming state S, without knowing it:
//   Y = R S^T + A V,   S_C = S diag(p) + V^T K
//
// All decays in it are products of factors of the chunk, taken in fp64 and over no more tokens than they
// span. None is a quotient p_t / p_s nor an exponential of a difference of logarithms: with a factor that is
// 0, or so small that the product up to it is, those are 0 / 0 and inf - inf, whereas the product behind it
// is an ordinary number. Where w is next to 1, fp64 also spares the chunk's decay the sixteen roundings, the
// same ones in every chunk, that a running product in fp32 has.
struct Chunk {
  Index C;   // rows, at most kWkv6Chunk
  Matrix R;  // r_t w_0 ... w_{t-1}: they meet the incoming state
  Matrix K;  // k_t w_{t+1} ... w_{C-1}: they make the outgoing one
  Matrix A;  // [C, C] lower: r_t k_s w_{s+1} ... w_{t-1} summed over channels; diagonal: r_t u k_t
  Matrix V;
  std::vector<double> whole_decay;  // w_0 ... w_{C-1}
  std::vector<float> decay;         // the same
};

Chunk factorize(const Wkv6Args& args, Index first, Index C, Index head, OperandRounding operand) {
  const Index N = args.N, width = args.H * N;
  Chunk chunk = {C, Matrix(C, N), Matrix(C, N), Matrix(C, C), Matrix(C, N), std::vector<double>(N), std::vector<float>(N)};
  std::vector<double> gram(C * C, 0.0);
  for (Index n = 0; n < N; ++n) {
    const Index at = first * width + head * N + n;
    const auto w = [&](Index t) { return double{args.w[(first + t) * args.w_stride + head * N + n]}; };
    double before = 1;  // w_0 ... w_{t-1}
    for (Index t = 0; t < C; ++t) {
      const Index i = at + t * width;
      chunk.V(t, n) = operand(args.v[i]);
      chunk.R(t, n) = operand(args.r[i] * before);
      gram[t * C + t] += double{args.r[i]} * args.u[head * N + n] * args.k[i];
      double between = 1;  // w_{s+1} ... w_{t-1}
      for (Index s = t - 1; s >= 0; --s) {
        gram[t * C + s] += double{args.r[i]} * args.k[at + s * width] * between;
        between *= w(s);
      }
      before *= w(t);
    }
    chunk.whole_decay[n] = before, chunk.decay[n] = static_cast<float>(before);
    double behind = 1;  // w_{t+1} ... w_{C-1}
    for (Index t = C - 1; t >= 0; --t) {
      chunk.K(t, n) = operand(args.k[at + t * width] * behind);
      behind *= w(t);
    }
  }
  std::transform(gram.begin(), gram.end(), chunk.A.data.begin(), operand);
  return chunk;
}

// A group of chunks so far: the state in front of it, what it leaves in an empty one, and its decay. Groups are joined as chunks are,
// S' = S diag(decay) + L, which spares a state of long memory the rounding of every chunk, and lets a GPU take groups at the same time.
struct Group {
  Matrix before, L;
  std::vector<double> decay;

  explicit Group(const Matrix& S) : before(S), L(S.rows, S.cols), decay(S.cols, 1.0) {}

  Matrix joined() const {
    Matrix S = before;
    for (Index v = 0; v < S.rows; ++v) {
      for (Index k = 0; k < S.cols; ++k) S(v, k) = static_cast<float>(double{S(v, k)} * static_cast<float>(decay[k]) + L(v, k));
    }
    return S;
  }
};

// The state pass: the only part that depends on the chunk before, S in and out.
void apply(const Chunk& chunk, Matrix& S, Group& group, float* y, Index width, OperandRounding operand) {
  const Index C = chunk.C, N = S.rows;
  for (Index t = 0; t < C; ++t) {
    for (Index v = 0; v < N; ++v) {
      double sum = 0;
      for (Index k = 0; k < N; ++k) sum += double{chunk.R(t, k)} * operand(S(v, k));
      for (Index s = 0; s <= t; ++s) sum += double{chunk.A(t, s)} * chunk.V(s, v);
      y[t * width + v] = static_cast<float>(sum);
    }
  }
  for (Index v = 0; v < N; ++v) {
    for (Index k = 0; k < N; ++k) {
      double added = 0;
      for (Index t = 0; t < C; ++t) added += double{chunk.V(t, v)} * chunk.K(t, k);
      for (Matrix* const state : {&S, &group.L}) (*state)(v, k) = static_cast<float>(double{(*state)(v, k)} * chunk.decay[k] + added);
    }
  }
  for (Index k = 0; k < N; ++k) group.decay[k] *= chunk.whole_decay[k];
}

}  // namespace

void wkv6_chunk(const Wkv6Args& args, Stream) {
  const Index N = args.N, width = args.H * N;
  const OperandRounding operand(args.operand);
  for_each_head(args, [&](const Segment& segment, Index head, Matrix& S) {
    Group group(S);
    for (Index t = segment.begin; t < segment.end; t += kWkv6Chunk) {
      const Chunk chunk = factorize(args, t, std::min(kWkv6Chunk, segment.end - t), head, operand);
      apply(chunk, S, group, args.y + t * width + head * N, width, operand);
      if (const Index done = t + kWkv6Chunk - segment.begin; done % kWkv6Group == 0 && t + kWkv6Chunk <= segment.end) {
        S = group.joined();
        group = Group(S);
      }
    }
  });
}

}  // namespace riverrun::kernels::reference
