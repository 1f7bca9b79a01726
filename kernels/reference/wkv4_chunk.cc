#include "kernels/reference/wkv4_chunk.h"

#include <algorithm>
#include <cmath>

namespace riverrun::kernels::reference {

namespace {

// One channel of a segment's inputs.
struct Channel {
  const float *k, *v;
  double w, u;
  Index stride;

  Wkv4Sum token(Index t) const { return {v[t * stride], 1, k[t * stride]}; }
};

// What a chunk's tokens leave in an empty state: it needs nobody else.
Wkv4Sum sum_of(const Channel& channel, Index first) {
  Wkv4Sum sum;
  for (Index t = first; t < first + kWkv4Chunk; ++t) sum = merge(sum, channel.token(t), channel.w);
  return sum;
}

// y of tokens [first, end), from the state before them, which is that behind them afterwards.
void read(const Channel& channel, Wkv4Sum& state, Index first, Index end, float* y) {
  for (Index t = first; t < end; ++t) {
    const Wkv4Sum token = channel.token(t);
    const Wkv4Sum all = merge(state, {token.a, token.b, static_cast<float>(token.p + channel.u)}, 0);
    y[t * channel.stride] = all.a / all.b;
    state = merge(state, token, channel.w);
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
      Index t = begin;
      for (; t + kWkv4Chunk <= end; t += kWkv4Chunk) {
        Wkv4Sum within = state;
        read(channel, within, t, t + kWkv4Chunk, args.y + d);
        state = merge(state, sum_of(channel, t), channel.w * static_cast<double>(kWkv4Chunk));
      }
      read(channel, state, t, end, args.y + d);
      if (args.state_out[s] != nullptr) {
        float* out = args.state_out[s] + 3 * c;
        out[0] = state.a, out[1] = state.b, out[2] = state.p;
      }
    }
  }
}

}  // namespace riverrun::kernels::reference
