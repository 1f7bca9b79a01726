#include "kernels/cuda/recurrence.cuh"
#include "kernels/cuda/table.h"
#include "kernels/cuda/wkv6_chunk.h"

namespace riverrun::kernels::cuda {

namespace {

struct Wkv6Rule {
  static constexpr int kOperands = 4;
  enum { r, w, k, u };
  const float* operands[kOperands];
  Index strides[kOperands];

  template <int kFours>
  __device__ __forceinline__ static float step(float4 (&S)[kFours], const float4* const (&token)[kOperands],
                                               float v) {
    return sum_over_keys<kFours>([&](int i, float4& sum) {
      const float4 written = all_four(v) * token[k][4 * i];
      sum = fma_four(token[r][4 * i], fma_four(token[u][4 * i], written, S[i]), sum);
      S[i] = fma_four(S[i], token[w][4 * i], written);
    });
  }
};

}  // namespace

void wkv6(const Wkv6Args& args, Stream stream) {
  check_segments(args.segment_count, args.segments, args.M);
  RR_CHECK(args.first_head >= 0 && args.heads >= 0 && args.first_head + args.heads <= args.H, "heads ",
           args.first_head, " + ", args.heads, " of ", args.H);
  const Index D = args.H * args.N;
  RR_CHECK(args.w_stride == 0 || args.w_stride == D, "rows of decay factors ", args.w_stride, " apart");
  // As in wkv7.cu: by the segment's own length, and in decode never.
  const bool chunks = args.phase == Phase::prefill && has_wkv6_chunks(args.N);
  const auto chunked = [chunks](Index rows) { return chunks && rows >= kWkv6Chunk; };
  const auto groups = [&](auto&& wanted, auto&& f) {
    for_segment_groups(args.segment_count, args.segments, args.state_in, args.state_out, wanted, f);
  };
  groups(chunked, [&](const SegmentTable& group) { wkv6_chunks(args, group, stream); });
  const RecurrenceParameters parameters = {
      .D = D, .N = args.N, .first_head = args.first_head, .v = args.v, .y = args.y};
  const Wkv6Rule rule = {{args.r, args.w, args.k, args.u}, {D, args.w_stride, D, 0}};
  groups([&](Index rows) { return !chunked(rows); },
         [&](const SegmentTable& group) { run_recurrence(parameters, rule, group, args.heads, stream); });
}

}  // namespace riverrun::kernels::cuda
