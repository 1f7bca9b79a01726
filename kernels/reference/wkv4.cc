#include <algorithm>
#include <cmath>

#include "kernels/reference/table.h"

namespace riverrun::kernels::reference {

namespace {

// One token of one channel. The state is rounded to fp32 after every token, so that a cut changes nothing.
float step(double k, double v, double w, double u, float* state) {
  const double a = state[0], b = state[1], p = state[2];
  double q = std::max(p, u + k);
  double past = std::exp(p - q), present = std::exp(u + k - q);
  const double y = (past * a + present * v) / (past * b + present);
  q = std::max(p + w, k);
  past = std::exp(p + w - q), present = std::exp(k - q);
  state[0] = static_cast<float>(past * a + present * v);
  state[1] = static_cast<float>(past * b + present);
  state[2] = static_cast<float>(q);
  return static_cast<float>(y);
}

}  // namespace

void wkv4(const Wkv4Args& args, Stream) {
  check_segments(args.segment_count, args.segments, args.M);
  RR_CHECK(args.first_channel >= 0 && args.channels >= 0 && args.first_channel + args.channels <= args.D, "channels ",
           args.first_channel, " + ", args.channels, " of ", args.D);
  for (Index s = 0; s < args.segment_count; ++s) {
    for (Index c = 0; c < args.channels; ++c) {
      float state[3] = {0, 0, kWkv4NoPast};
      if (args.state_in[s] != nullptr) std::copy_n(args.state_in[s] + 3 * c, 3, state);
      const Index d = args.first_channel + c;
      for (Index t = args.segments[s].begin; t < args.segments[s].end; ++t) {
        const Index i = t * args.D + d;
        args.y[i] = step(args.k[i], args.v[i], args.w[d], args.u[d], state);
      }
      if (args.state_out[s] != nullptr) std::copy_n(state, 3, args.state_out[s] + 3 * c);
    }
  }
}

}  // namespace riverrun::kernels::reference
