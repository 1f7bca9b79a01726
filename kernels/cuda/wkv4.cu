// WKV-4: a thread per channel, its three numbers in registers, from token to token of a segment or of one of its groups. Channels never
// meet, so that a split of the channels changes no bit. Of the two weights of a mean one is always 1 and the other e^-|difference|: two
// exponentials a token instead of four.
//
// Channels are few, and each takes its time. What some tokens leave in an empty state merges with any state in front of them
// (docs/wkv.md, "WKV-4"), so groups of kGroup tokens are taken at the same time:
//   1. group_kernel: what every group leaves in an empty state
//   2. chain_kernel: the states in front of all groups, and behind the last
//   3. token_kernel: y
// Until y is written, its rows keep what a group has; in the last kernel only the thread that writes them reads them.
#include <algorithm>

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/segments.h"
#include "kernels/cuda/table.h"

namespace riverrun::kernels::cuda {

namespace {

constexpr unsigned kThreads = 32;  // a warp: channels are few, and each takes its time
constexpr int kTokensAhead = 8;    // tokens that are read while the ones before them are computed
constexpr Index kGroup = 64, kGroupsAhead = 4;
constexpr Index kMostGroups = 65535;  // of a grid

struct Wkv4Parameters {
  Index D, first_channel, channels;
  const float *k, *v, *w, *u;
  float* y;
  bool in_groups;
};

struct Weights {
  float past, present;
};

// Of a past and a present whose exponents differ by `lead`, divided by the larger. A NaN becomes the past's.
__device__ __forceinline__ Weights weigh(float lead) {
  const float smaller = expf(-fabsf(lead));
  return lead < 0 ? Weights{smaller, 1.0f} : Weights{1.0f, smaller};
}

struct Wkv4State {
  float a = 0, b = 0, p = kWkv4NoPast;

  // One token; returns y. p - k first: where both weights count it is small, and what is added to it keeps
  // its digits.
  __device__ __forceinline__ float step(float k, float v, float w, float u) {
    const Weights read = weigh(p - k - u);
    const float y = fmaf(read.past, a, read.present * v) / fmaf(read.past, b, read.present);
    append({v, 1, k}, w);
    return y;
  }
  // What comes behind, during which the state decays by e^decay. The sums make up for the rounding of p, which would be the same one token
  // after token: it is added to them together with what is new, so that it does not fall below their last digit.
  __device__ __forceinline__ void append(const Wkv4State& present, float decay) {
    const float decayed = p - present.p + decay, moved = p + decay;
    const float shift = moved - p, difference = (p - (moved - shift)) + (decay - shift);  // p + decay = moved + difference
    const float lost = fabsf(difference) < 0x1p-12f ? difference : 0;  // as e^difference - 1; larger where p is some thousand or more
    const float smaller = expf(-fabsf(decayed));
    if (decayed < 0) {
      a = fmaf(smaller, a, present.a), b = fmaf(smaller, b, present.b), p = present.p;
    } else {
      const float weight = fmaf(smaller, lost, smaller);
      a += fmaf(weight, present.a, lost * a), b += fmaf(weight, present.b, lost * b), p = moved;
    }
  }
};

// A thread's channel: of the range, and of all.
struct Channel {
  Index c, d;
};
__device__ __forceinline__ Channel channel_of_thread(const Wkv4Parameters& args) {
  const Index c = Index{blockIdx.x} * kThreads + threadIdx.x;
  return {c, args.first_channel + c};
}

// Calls body(t, k, v) for tokens [begin, end).
template <class Body>
__device__ __forceinline__ void for_each_token(const Wkv4Parameters& args, Index d, Index begin, Index end, Body&& body) {
  Index t = begin;
  for (; t + kTokensAhead <= end; t += kTokensAhead) {
    float k[kTokensAhead], v[kTokensAhead];
#pragma unroll
    for (int i = 0; i < kTokensAhead; ++i)
      k[i] = args.k[(t + i) * args.D + d], v[i] = args.v[(t + i) * args.D + d];
#pragma unroll
    for (int i = 0; i < kTokensAhead; ++i) body(t + i, k[i], v[i]);
  }
  for (; t < end; ++t) body(t, args.k[t * args.D + d], args.v[t * args.D + d]);
}

// What a group keeps in the rows of y, three at a time: in front of it the state, which takes the place of what it leaves in an empty one;
// and, of the last group, the state behind it.
enum Kept { kFront = 0, kBehind = 3 };

__device__ __forceinline__ float* kept_at(const Wkv4Parameters& args, const SegmentTable::Entry& segment, Index group, Index d, Kept kept) {
  return args.y + (segment.begin + group * kGroup + kept) * args.D + d;
}
__device__ __forceinline__ Wkv4State kept_state(const float* at, Index D) { return {at[0], at[D], at[2 * D]}; }
__device__ __forceinline__ void keep(const Wkv4State& state, float* at, Index D) { at[0] = state.a, at[D] = state.b, at[2 * D] = state.p; }

__device__ __forceinline__ Wkv4State state_before(const SegmentTable::Entry& segment, Index c) {
  return segment.in == nullptr ? Wkv4State() : kept_state(segment.in + 3 * c, 1);
}

__device__ __forceinline__ Index groups_of(const SegmentTable::Entry& segment) { return segment.rows() / kGroup; }

// blockIdx: a warp of channels, a segment, one of its groups.
__global__ void __launch_bounds__(kThreads)
    group_kernel(const __grid_constant__ Wkv4Parameters args, const __grid_constant__ SegmentTable segments) {
  wait_for_previous();
  const SegmentTable::Entry& segment = segments.entries[blockIdx.y];
  const auto [c, d] = channel_of_thread(args);
  const Index group = blockIdx.z, begin = segment.begin + group * kGroup;
  if (c >= args.channels || group >= groups_of(segment)) return;
  const float w = args.w[d];
  Wkv4State left;
  for_each_token(args, d, begin, begin + kGroup, [&](Index, float k, float v) { left.append({v, 1, k}, w); });
  keep(left, kept_at(args, segment, group, d, kFront), args.D);
}

// blockIdx: a warp of channels, a segment.
__global__ void __launch_bounds__(kThreads)
    chain_kernel(const __grid_constant__ Wkv4Parameters args, const __grid_constant__ SegmentTable segments) {
  wait_for_previous();
  const SegmentTable::Entry& segment = segments.entries[blockIdx.y];
  const auto [c, d] = channel_of_thread(args);
  const Index groups = groups_of(segment);
  if (c >= args.channels || groups == 0) return;
  const float decay = args.w[d] * static_cast<float>(kGroup);
  Wkv4State state = state_before(segment, c);
  for (Index from = 0; from < groups; from += kGroupsAhead) {
    Wkv4State left[kGroupsAhead];
#pragma unroll
    for (Index i = 0; i < kGroupsAhead; ++i) {
      if (from + i < groups) left[i] = kept_state(kept_at(args, segment, from + i, d, kFront), args.D);
    }
#pragma unroll
    for (Index i = 0; i < kGroupsAhead; ++i) {
      if (from + i >= groups) break;
      keep(state, kept_at(args, segment, from + i, d, kFront), args.D);
      state.append(left[i], decay);
    }
  }
  keep(state, kept_at(args, segment, groups - 1, d, kBehind), args.D);
}

// blockIdx: a warp of channels, a segment, and one of its groups, the last one with the tokens behind it. A segment without a group is
// taken as a whole.
__global__ void __launch_bounds__(kThreads)
    token_kernel(const __grid_constant__ Wkv4Parameters args, const __grid_constant__ SegmentTable segments) {
  wait_for_previous();
  const SegmentTable::Entry& segment = segments.entries[blockIdx.y];
  const auto [c, d] = channel_of_thread(args);
  const Index group = blockIdx.z, groups = args.in_groups ? groups_of(segment) : 0;
  if (c >= args.channels || (group > 0 && group >= groups)) return;
  const float w = args.w[d], u = args.u[d];
  Wkv4State state;
  const auto read = [&](Index t, float k, float v) { args.y[t * args.D + d] = state.step(k, v, w, u); };
  Index begin = segment.begin;
  if (groups > 0) {
    const bool last = group + 1 == groups;
    state = kept_state(kept_at(args, segment, group, d, kFront), args.D);
    const Wkv4State behind = last ? kept_state(kept_at(args, segment, group, d, kBehind), args.D) : Wkv4State();
    begin += group * kGroup;
    for_each_token(args, d, begin, begin + kGroup, read);
    if (!last) return;
    state = behind, begin += kGroup;
  } else {
    state = state_before(segment, c);
  }
  for_each_token(args, d, begin, segment.end, read);
  if (segment.out != nullptr) keep(state, segment.out + 3 * c, 1);
}

void launch_tokens(const Wkv4Parameters& parameters, const SegmentTable& segments, Stream stream) {
  const Index groups = parameters.in_groups ? segments.most_rows() / kGroup : 0;
  RR_CHECK(groups <= kMostGroups, "a segment of ", groups, " groups");
  const auto blocks = [&](Index z) {
    return dim3(blocks_for(parameters.channels, kThreads), static_cast<unsigned>(segments.count), static_cast<unsigned>(z));
  };
  if (groups > 0) {
    launch(group_kernel, blocks(groups), kThreads, 0, stream, parameters, segments);
    launch(chain_kernel, blocks(1), kThreads, 0, stream, parameters, segments);
  }
  launch(token_kernel, blocks(std::max<Index>(groups, 1)), kThreads, 0, stream, parameters, segments);
}

}  // namespace

void wkv4(const Wkv4Args& args, Stream stream) {
  check_segments(args.segment_count, args.segments, args.M);
  RR_CHECK(args.first_channel >= 0 && args.channels >= 0 && args.first_channel + args.channels <= args.D,
           "channels ", args.first_channel, " + ", args.channels, " of ", args.D);
  // By the segment's own length, and in decode never: there the cut of a prompt depends on what is written beside it.
  const Wkv4Parameters parameters = {.D = args.D, .first_channel = args.first_channel, .channels = args.channels,
                                     .k = args.k, .v = args.v, .w = args.w, .u = args.u, .y = args.y,
                                     .in_groups = args.phase == Phase::prefill};
  for_segment_groups(args.segment_count, args.segments, args.state_in, args.state_out,
                     [&](const SegmentTable& table) { launch_tokens(parameters, table, stream); });
}

}  // namespace riverrun::kernels::cuda
