#include "kernels/cuda/recurrence.cuh"
#include "kernels/cuda/table.h"
#include "kernels/cuda/wkv7_chunk.h"

namespace riverrun::kernels::cuda {

namespace {

struct Wkv7Rule {
  static constexpr int kOperands = 5;
  enum { r, w, k, a, b };
  const float* operands[kOperands];
  Index strides[kOperands];

  template <int kFours>
  __device__ __forceinline__ static float step(float4 (&S)[kFours], const float4* const (&token)[kOperands],
                                               float v) {
    const float u =
        sum_over_keys<kFours>([&](int i, float4& sum) { sum = fma_four(S[i], token[a][4 * i], sum); });
    return sum_over_keys<kFours>([&](int i, float4& sum) {
      const float4 written = fma_four(all_four(u), token[b][4 * i], all_four(v) * token[k][4 * i]);
      S[i] = fma_four(S[i], token[w][4 * i], written);
      sum = fma_four(S[i], token[r][4 * i], sum);
    });
  }
};

void chunks(const Wkv7Args& args, const SegmentTable& segments, Stream stream) {
  RR_CHECK(whole_fours(args.N, args.r, args.w, args.k, args.a, args.b, args.v), "operands that are not aligned");
  for (int s = 0; s < segments.count; ++s) {
    RR_CHECK(whole_fours(args.N, segments.entries[s].in, segments.entries[s].out), "states that are not aligned");
  }
  if (args.operand == DType::f32) return wkv7_chunks_f32(args, segments, stream);
  const bool clusters = has_wkv7_clusters(args.N, args.heads * segments.count);
  clusters ? wkv7_clusters_16(args, segments, stream) : wkv7_chunks_16(args, segments, stream);
}

}  // namespace

void wkv7(const Wkv7Args& args, Stream stream) {
  check_segments(args.segment_count, args.segments, args.M);
  RR_CHECK(args.first_head >= 0 && args.heads >= 0 && args.first_head + args.heads <= args.H, "heads ",
           args.first_head, " + ", args.heads, " of ", args.H);
  const Index D = args.H * args.N;
  // In prefill by the segment's own length, which the document and the block size decide: neighbours and ranks do not. In
  // decode, where a prompt is cut depends on what stands beside it.
  const bool by_chunks = args.phase == Phase::prefill && has_wkv7_chunks(args.N);
  const auto chunked = [by_chunks](Index rows) { return by_chunks && rows >= kWkv7Chunk; };
  const auto groups = [&](auto&& wanted, auto&& f) {
    for_segment_groups(args.segment_count, args.segments, args.state_in, args.state_out, wanted, f);
  };
  groups(chunked, [&](const SegmentTable& group) { chunks(args, group, stream); });
  const RecurrenceParameters parameters = {
      .D = D, .N = args.N, .first_head = args.first_head, .v = args.v, .y = args.y};
  const Wkv7Rule rule = {{args.r, args.w, args.k, args.a, args.b}, {D, D, D, D, D}};
  groups([&](Index rows) { return !chunked(rows); },
         [&](const SegmentTable& group) { run_recurrence(parameters, rule, group, args.heads, stream); });
}

}  // namespace riverrun::kernels::cuda
