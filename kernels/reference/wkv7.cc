#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/reference/table.h"

namespace riverrun::kernels::reference {

namespace {

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// One token of one head. The state is rounded to fp32 after every token, so that a cut changes nothing.
void step(const Wkv7Args& args, Index at, float* S) {
  const Index N = args.N;
  for (Index v = 0; v < N; ++v) {
    float* row = S + v * N;
    double u = 0, y = 0;
    for (Index k = 0; k < N; ++k) u += double{row[k]} * args.a[at + k];
    for (Index k = 0; k < N; ++k) {
      row[k] = static_cast<float>(double{row[k]} * args.w[at + k] + u * args.b[at + k] +
                                  double{args.v[at + v]} * args.k[at + k]);
      y += double{row[k]} * args.r[at + k];
    }
    args.y[at + v] = static_cast<float>(y);
  }
}

}  // namespace

void wkv7(const Wkv7Args& args, Stream) {
  check_segments(args.segment_count, args.segments, args.M);
  RR_CHECK(args.first_head >= 0 && args.heads >= 0 && args.first_head + args.heads <= args.H, "heads ",
           args.first_head, " + ", args.heads, " of ", args.H);
  const Index square = args.N * args.N;
  std::vector<float> state(square);
  for (Index s = 0; s < args.segment_count; ++s) {
    for (Index h = 0; h < args.heads; ++h) {
      if (args.state_in[s] != nullptr) {
        std::copy_n(args.state_in[s] + h * square, square, state.begin());
      } else {
        std::fill(state.begin(), state.end(), 0.0f);
      }
      for (Index t = args.segments[s].begin; t < args.segments[s].end; ++t) {
        step(args, (t * args.H + args.first_head + h) * args.N, state.data());
      }
      if (args.state_out[s] != nullptr) std::copy_n(state.begin(), square, args.state_out[s] + h * square);
    }
  }
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
