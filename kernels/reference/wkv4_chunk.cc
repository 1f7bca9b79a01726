#include "kernels/reference/wkv4_chunk.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace riverrun::kernels::reference {

namespace {

// One channel of a segment's inputs.
struct Channel {
  const float *k, *v;
  double w, u;
  Index stride;
};

// What a chunk needs of nobody else: for each token the sum over those of its chunk before it, and last the
// whole.
std::vector<Wkv4Sum> sums_within(const Channel& channel, Index first, Index C) {
  std::vector<Wkv4Sum> sums(C + 1);
  for (Index t = 0; t < C; ++t) {
    const Index i = (first + t) * channel.stride;
    sums[t + 1] = merge(sums[t], {channel.v[i], 1, channel.k[i]}, channel.w);
  }
  return sums;
}

// y of a chunk's tokens, each by itself, from the state before the chunk.
void read_chunk(const Channel& channel, const Wkv4Sum& before, const std::vector<Wkv4Sum>& within,
                Index first, float* y) {
  for (Index t = 0; t + 1 < static_cast<Index>(within.size()); ++t) {
    const Index i = (first + t) * channel.stride;
    const Wkv4Sum past = merge(before, within[t], channel.w * static_cast<double>(t));
    const Wkv4Sum present = {channel.v[i], 1, static_cast<float>(channel.k[i] + channel.u)};
    const Wkv4Sum all = merge(past, present, 0);
    y[i] = all.a / all.b;
  }
}

}  // namespace

Wkv4Sum merge(const Wkv4Sum& past, const Wkv4Sum& present, double decay) {
  const double decayed = past.p + decay;
  const float p =
      static_cast<float>(std::max(decayed, double{present.p}));  // rounded before the weights refer to it
  const double of_past = std::exp(decayed - p), of_present = std::exp(double{present.p} - p);
  return {static_cast<float>(of_past * past.a + of_present * present.a),
          static_cast<float>(of_past * past.b + of_present * present.b), p};
}

void wkv4_chunk(const Wkv4Args& args, Stream) {
  check_segments(args.segment_count, args.segments, args.M);
  for (Index s = 0; s < args.segment_count; ++s) {
    const auto [begin, end] = args.segments[s];
    for (Index c = 0; c < args.channels; ++c) {
      const Index d = args.first_channel + c;
      const Channel channel = {args.k + d, args.v + d, args.w[d], args.u[d], args.D};
      Wkv4Sum state;
      if (args.state_in[s] != nullptr) {
        const float* in = args.state_in[s] + 3 * c;
        state = {in[0], in[1], in[2]};
      }
      for (Index t = begin; t < end; t += kWkv4Chunk) {
        const Index C = std::min(kWkv4Chunk, end - t);
        const auto within = sums_within(channel, t, C);
        read_chunk(channel, state, within, t, args.y + d);
        state = merge(state, within[C], channel.w * static_cast<double>(C));
      }
      if (args.state_out[s] != nullptr) {
        float* out = args.state_out[s] + 3 * c;
        out[0] = state.a, out[1] = state.b, out[2] = state.p;
      }
    }
  }
}

}  // namespace riverrun::kernels::reference
