#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/cpu/table.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/readout.cc"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include "core/thread_pool.h"
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

// -1 when one is NaN or +infinity, or all are minus infinity.
TokenId first_largest(const float* row, Index V) {
  const hn::CappedTag<float, 16> d;
  const Index lanes = hn::Lanes(d), whole = V / lanes * lanes;
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  float rest[hn::MaxLanes(d)];
  hn::StoreU(hn::Set(d, -kInfinity), d, rest);
  std::copy(row + whole, row + V, rest);

  const auto infinity = hn::Set(d, kInfinity);
  auto most = hn::LoadU(d, rest);
  auto sound = hn::Lt(most, infinity);  // false for NaN
  for (Index v = 0; v < whole; v += lanes) {
    const auto x = hn::LoadU(d, row + v);
    sound = hn::And(sound, hn::Lt(x, infinity));
    most = hn::Max(most, x);
  }
  if (!hn::AllTrue(d, sound)) return -1;
  const auto largest = hn::MaxOfLanes(d, most);
  if (hn::GetLane(largest) == -kInfinity) return -1;
  for (Index v = 0; v < whole; v += lanes) {
    const auto at = hn::FindFirstTrue(d, hn::Eq(hn::LoadU(d, row + v), largest));
    if (at >= 0) return static_cast<TokenId>(v + at);
  }
  return static_cast<TokenId>(whole + hn::FindFirstTrue(d, hn::Eq(hn::LoadU(d, rest), largest)));
}

void pick_largest_rows(const PickLargestArgs& args, Index begin, Index end) {
  for (Index m = begin; m < end; ++m) {
    float* const row = args.logits + m * args.V;
    for (Index i = 0; i < args.banned_count; ++i) row[args.banned[i]] = -std::numeric_limits<float>::infinity();
    if (args.penalty_begin != nullptr) {
      for (Index i = args.penalty_begin[m]; i < args.penalty_begin[m + 1]; ++i) row[args.penalised[i]] -= args.penalties[i];
    }
    args.out[m] = first_largest(row, args.V);
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
HWY_EXPORT(pick_largest_rows);
HWY_EXPORT(sum_columns);

}  // namespace

void log_prob(const LogProbArgs& args, Stream stream) {
  stream.pool->run_ranges(args.M, 1, [&](Index begin, Index end, int) {
    HWY_DYNAMIC_DISPATCH(log_prob_rows)(args, begin, end);
  });
}

void pick_largest(const PickLargestArgs& args, Stream stream) {
  stream.pool->run_ranges(args.M, 1, [&](Index begin, Index end, int) {
    HWY_DYNAMIC_DISPATCH(pick_largest_rows)(args, begin, end);
  });
}

void sum_rows(const SumRowsArgs& args, Stream stream) {
  stream.pool->run_ranges(args.D, 256, [&](Index begin, Index end, int) {
    HWY_DYNAMIC_DISPATCH(sum_columns)(args, begin, end);
  });
}

}  // namespace riverrun::kernels::cpu
#endif  // HWY_ONCE
