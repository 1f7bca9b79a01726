#include <cmath>
#include <vector>

#include "kernels/reference/recurrence.h"
#include "kernels/reference/table.h"

namespace riverrun::kernels::reference {

namespace {

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// One token of one head. The state is rounded to fp32 after every token, so that a cut changes nothing.
void step(const Wkv7Args& args, Index at, Matrix& S) {
  const Index N = args.N;
  for (Index v = 0; v < N; ++v) {
    double u = 0, y = 0;
    for (Index k = 0; k < N; ++k) u += double{S(v, k)} * args.a[at + k];
    for (Index k = 0; k < N; ++k) {
      S(v, k) = static_cast<float>(double{S(v, k)} * args.w[at + k] + u * args.b[at + k] +
                                   double{args.v[at + v]} * args.k[at + k]);
      y += double{S(v, k)} * args.r[at + k];
    }
    args.y[at + v] = static_cast<float>(y);
  }
}

}  // namespace

void wkv7(const Wkv7Args& args, Stream) {
  for_each_head(args, [&](const Segment& segment, Index head, Matrix& S) {
    for (Index t = segment.begin; t < segment.end; ++t) step(args, (t * args.H + head) * args.N, S);
  });
}

void wkv7_inputs(const Wkv7InputsArgs& args, Stream) {
  const Index N = args.N, D = args.H * N;
  std::vector<double> kk(N);
  for (Index head = 0; head < args.M * args.H; ++head) {
    const Index at = head * N, d0 = at % D;
    double norm = 0;
    for (Index n = 0; n < N; ++n) {
      kk[n] = double{args.k[at + n]} * args.k_k[d0 + n];
      norm += kk[n] * kk[n];
    }
    norm = std::sqrt(norm);
    norm = norm < 1e-12 ? 1e-12 : norm;  // lets a NaN through
    for (Index n = 0; n < N; ++n) {
      const Index i = at + n, d = d0 + n;
      const double rate = sigmoid(double{args.a0[d]} + args.a[i]), removal = kk[n] / norm;
      args.w[i] = static_cast<float>(std::exp(-std::exp(-0.5) * sigmoid(double{args.w0[d]} + args.w[i])));
      args.a[i] = static_cast<float>(-removal);
      args.b[i] = static_cast<float>(removal * rate);
      args.k[i] = static_cast<float>(args.k[i] * (1 + (rate - 1) * args.k_a[d]));
      if (args.v_mix != nullptr) {
        const double share = sigmoid(double{args.v0[d]} + args.v_mix[i]);
        args.v[i] = static_cast<float>(args.v[i] + (double{args.v_first[i]} - args.v[i]) * share);
      }
    }
  }
}

void wkv7_readout(const Wkv7ReadoutArgs& args, Stream) {
  const Index N = args.N, D = args.H * N;
  for (Index head = 0; head < args.M * args.H; ++head) {
    const Index at = head * N, d0 = at % D;
    double mean = 0, variance = 0, bonus = 0;
    for (Index n = 0; n < N; ++n) mean += args.y[at + n];
    mean /= static_cast<double>(N);
    for (Index n = 0; n < N; ++n) {
      variance += (args.y[at + n] - mean) * (args.y[at + n] - mean);
      bonus += double{args.r[at + n]} * args.k[at + n] * args.r_k[d0 + n];
    }
    const double scale = 1 / std::sqrt(variance / static_cast<double>(N) + args.eps);
    for (Index n = 0; n < N; ++n) {
      const Index i = at + n;
      const double z =
          (args.y[i] - mean) * scale * args.weight[d0 + n] + args.bias[d0 + n] + bonus * args.v[i];
      store_float(args.out, args.out_type, i, static_cast<float>(z * args.g[i]));
    }
  }
}

}  // namespace riverrun::kernels::reference
