#include <cmath>

#include "kernels/reference/recurrence.h"
#include "kernels/reference/table.h"

namespace riverrun::kernels::reference {

namespace {

// One token of one head: `at` is its first element in the rows, `w` its decay, `u` its bonus. The state is rounded to
// fp32 after every token, so that a cut changes nothing.
void step(const Wkv6Args& args, Index at, const float* w, const float* u, Matrix& S) {
  const Index N = args.N;
  for (Index v = 0; v < N; ++v) {
    double y = 0;
    for (Index k = 0; k < N; ++k) {
      const double product = double{args.v[at + v]} * args.k[at + k];
      y += args.r[at + k] * (S(v, k) + u[k] * product);
      S(v, k) = static_cast<float>(double{S(v, k)} * w[k] + product);
    }
    args.y[at + v] = static_cast<float>(y);
  }
}

}  // namespace

void wkv6_decay(const Wkv6DecayArgs& args, Stream) {
  for (Index i = 0; i < args.M * args.D; ++i) {
    args.w[i] = static_cast<float>(std::exp(-std::exp(double{args.w0[i % args.D]} + args.w[i])));
  }
}

void wkv6(const Wkv6Args& args, Stream) {
  const Index D = args.H * args.N;
  RR_CHECK(args.w_stride == 0 || args.w_stride == D, "rows of decay factors ", args.w_stride, " apart");
  for_each_head(args, [&](const Segment& segment, Index h, Matrix& S) {
    const Index head = h * args.N;
    for (Index t = segment.begin; t < segment.end; ++t) {
      step(args, t * D + head, args.w + t * args.w_stride + head, args.u + head, S);
    }
  });
}

void wkv6_readout(const Wkv6ReadoutArgs& args, Stream) {
  const Index N = args.N, D = args.H * N;
  for (Index head = 0; head < args.M * args.H; ++head) {
    const Index at = head * N, d0 = at % D;
    double mean = 0, variance = 0;
    for (Index n = 0; n < N; ++n) mean += args.y[at + n];
    mean /= static_cast<double>(N);
    for (Index n = 0; n < N; ++n) variance += (args.y[at + n] - mean) * (args.y[at + n] - mean);
    const double scale = 1 / std::sqrt(variance / static_cast<double>(N) + args.eps);
    for (Index n = 0; n < N; ++n) {
      const double normal = (args.y[at + n] - mean) * scale * args.weight[d0 + n] + args.bias[d0 + n];
      const double gate = args.g == nullptr ? 1.0f : args.g[at + n];
      store_float(args.out, args.out_type, at + n, static_cast<float>(normal * gate));
    }
  }
}

}  // namespace riverrun::kernels::reference
