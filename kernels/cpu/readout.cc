#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/cpu/table.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/readout.cc"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace riverrun::kernels::cpu::HWY_NAMESPACE {

// fp32 partial sums of at most this many elements per lane are added up in fp64.
constexpr Index kStretch = 64;

float log_prob_of(const float* row, Index V, Index target) {
  const hn::CappedTag<float, 16> d;
  const Index lanes = hn::Lanes(d), whole = V / lanes * lanes;
  // The last elements, filled up with what adds nothing to a maximum or to a sum of exponentials.
  float rest[hn::MaxLanes(d)];
  hn::StoreU(hn::Set(d, -std::numeric_limits<float>::infinity()), d, rest);
  std::copy(row + whole, row + V, rest);

  auto most_lanes = hn::LoadU(d, rest);
  for (Index v = 0; v < whole; v += lanes) most_lanes = hn::Max(most_lanes, hn::LoadU(d, row + v));
  const auto most = hn::MaxOfLanes(d, most_lanes);
  auto part = exp_negative(d, hn::Sub(hn::LoadU(d, rest), most));
  double sum = 0;
  for (Index v = 0; v < whole;) {
    const Index stop = std::min(whole, v + kStretch * lanes);
    for (; v < stop; v += lanes) part = hn::Add(part, exp_negative(d, hn::Sub(hn::LoadU(d, row + v), most)));
    sum += sum_lanes(d, part);
    part = hn::Zero(d);
  }
  sum += sum_lanes(d, part);
  return static_cast<float>(double{row[target]} - double{hn::GetLane(most)} - std::log(sum));
}

void log_prob_rows(const LogProbArgs& args, Index begin, Index end) {
  for (Index m = begin; m < end; ++m) {
    args.out[m] = log_prob_of(args.logits + m * args.V, args.V, args.targets[m]);
  }
}

void sum_columns(const SumRowsArgs& args, Index begin, Index end) {
  for (Index m = 0; m < args.M; ++m) {
    const float* row = args.x + m * args.D;
    for (Index d = begin; d < end; ++d) args.sum[d] += row[d];
  }
}

}  // namespace riverrun::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace riverrun::kernels::cpu {

namespace {

HWY_EXPORT(log_prob_rows);
HWY_EXPORT(sum_columns);

}  // namespace

void log_prob(const LogProbArgs& args, Stream stream) {
  stream.pool->run_ranges(args.M, 1, [&](Index begin, Index end, int) {
    HWY_DYNAMIC_DISPATCH(log_prob_rows)(args, begin, end);
  });
}

void sum_rows(const SumRowsArgs& args, Stream stream) {
  stream.pool->run_ranges(args.D, 256, [&](Index begin, Index end, int) {
    HWY_DYNAMIC_DISPATCH(sum_columns)(args, begin, end);
  });
}

}  // namespace riverrun::kernels::cpu
#endif  // HWY_ONCE
