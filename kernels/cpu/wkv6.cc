// WKV-6 token by token, with vectors over value rows (docs/wkv.md).
//
// One pass over the keys reads the state left by the token before and writes this token's: each element is
// loaded and stored once per token. The present token's share of y, sum_k r[k] u[k] k[k] times value[v],
// takes one sum per token and head. Every value row goes through the same operations in the same order
// whichever task, vector or call holds it, so neither a cut in time nor the split over tasks changes a bit.
#include "kernels/cpu/recurrence.h"
#include "kernels/cpu/table.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/wkv6.cc"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include "kernels/cpu/recurrence-inl.h"
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace riverrun::kernels::cpu::HWY_NAMESPACE {

constexpr Index kMostVectors = 4;  // 12 registers and temporaries: AVX2 with its 16 is fastest with it, too

// sum_k r[k] u[k] key[k]. The lanes follow from N alone, never from the rows of a task.
HWY_INLINE float weight_of_present(const float* r, const float* u, const float* key, Index N) {
  float weight = 0;
  with_lanes(N, [&](auto d) {
    const Index lanes = hn::Lanes(d);
    auto sum = hn::Zero(d);
    for (Index k = 0; k < N; k += lanes) {
      sum = hn::MulAdd(hn::Mul(hn::LoadU(d, u + k), hn::LoadU(d, key + k)), hn::LoadU(d, r + k), sum);
    }
    weight = sum_lanes(d, sum);
  });
  return weight;
}

// kVectors vectors of value rows, starting with row `first` of the task. kKeys is N when known, else 0.
template <Index kVectors, Index kKeys, class D>
HWY_NOINLINE void run_rows(D d, const Wkv6Args& args, const RecurrenceTask& task, Index first) {
  using V = hn::Vec<D>;
  const Index N = kKeys != 0 ? kKeys : args.N, width = args.H * args.N, lanes = hn::Lanes(d);
  const Index stride = kKeys != 0 && kVectors * lanes == kKeys ? kKeys : task.rows;
  float* HWY_RESTRICT S = task.S + first;
  V y[kVectors], value[kVectors];

  const Index head = task.head * args.N;
  for (Index t = task.segment.begin; t < task.segment.end; ++t) {
    const Index at = t * width + head;
    const float* HWY_RESTRICT r = args.r + at;
    const float* HWY_RESTRICT w = args.w + t * args.w_stride + head;
    const float* HWY_RESTRICT key = args.k + at;
    if (t + kPrefetchTokens < task.segment.end) {
      prefetch_token({args.r, args.k, args.v}, at + kPrefetchTokens * width, N);
      prefetch_token({w}, kPrefetchTokens * args.w_stride, N);
    }
    for (Index i = 0; i < kVectors; ++i) {
      value[i] = hn::LoadU(d, args.v + at + task.row + first + i * lanes);
      y[i] = hn::Zero(d);
    }
    for (Index k = 0; k < N; ++k) {
      const V wk = hn::Set(d, w[k]), kk = hn::Set(d, key[k]), rk = hn::Set(d, r[k]);
      for (Index i = 0; i < kVectors; ++i) {
        float* HWY_RESTRICT at_state = S + k * stride + i * lanes;
        const V s = hn::LoadU(d, at_state);
        y[i] = hn::MulAdd(s, rk, y[i]);
        hn::StoreU(hn::MulAdd(s, wk, hn::Mul(value[i], kk)), d, at_state);
      }
    }
    const V present = hn::Set(d, weight_of_present(r, args.u + head, key, N));
    for (Index i = 0; i < kVectors; ++i) {
      hn::StoreU(hn::MulAdd(present, value[i], y[i]), d, args.y + at + task.row + first + i * lanes);
    }
  }
}

void wkv6_task(const Wkv6Args& args, const RecurrenceTask& task) {
  run_task<kMostVectors>(task, args.N, [&](auto d, auto vectors, auto keys, Index row) {
    run_rows<vectors, keys>(d, args, task, row);
  });
}

}  // namespace riverrun::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace riverrun::kernels::cpu {

namespace {

HWY_EXPORT(wkv6_task);

}  // namespace

void wkv6(const Wkv6Args& args, Stream stream) {
  RR_CHECK(args.w_stride == 0 || args.w_stride == args.H * args.N, "rows of decay factors ", args.w_stride,
           " apart");
  run_recurrence(args, stream, RIVERRUN_DISPATCHED(wkv6_task));
}

}  // namespace riverrun::kernels::cpu
#endif  // HWY_ONCE
