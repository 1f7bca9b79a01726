// WKV-7 token by token, with vectors over value rows (docs/wkv.md).
//
// A pass over the keys updates the state with token t and at once takes its product with a of token t + 1:
// each element is loaded and stored once per token. Every value row goes through the same operations in the
// same order whichever task, vector or call holds it, so neither a cut in time nor the split over tasks
// changes a bit.
#include "kernels/cpu/recurrence.h"
#include "kernels/cpu/table.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/wkv7.cc"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include "kernels/cpu/recurrence-inl.h"
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace riverrun::kernels::cpu::HWY_NAMESPACE {

// The registers of a state pass: AVX-512 and NEON have 32, AVX2 has 16.
#if HWY_TARGET == HWY_AVX2
constexpr Index kMostVectors = 2;
#else
constexpr Index kMostVectors = 4;
#endif

// kVectors vectors of value rows, starting with row `first` of the task. kKeys is N when known, else 0.
template <Index kVectors, Index kKeys, class D>
HWY_NOINLINE void run_rows(D d, const Wkv7Args& args, const RecurrenceTask& task, Index first) {
  using V = hn::Vec<D>;
  const Index N = kKeys != 0 ? kKeys : args.N, width = args.H * args.N, lanes = hn::Lanes(d);
  const Index stride = kKeys != 0 && kVectors * lanes == kKeys ? kKeys : task.rows;
  float* HWY_RESTRICT S = task.S + first;
  V u[kVectors], y[kVectors], u_next[kVectors], value[kVectors];

  const Index head = task.head * args.N;
  const float* a = args.a + task.segment.begin * width + head;
  for (Index i = 0; i < kVectors; ++i) u[i] = hn::Zero(d);
  for (Index k = 0; k < N; ++k) {
    for (Index i = 0; i < kVectors; ++i) {
      u[i] = hn::MulAdd(hn::LoadU(d, S + k * stride + i * lanes), hn::Set(d, a[k]), u[i]);
    }
  }
  for (Index t = task.segment.begin; t < task.segment.end; ++t) {
    const Index at = t * width + head;
    if (t + kPrefetchTokens < task.segment.end) {
      prefetch_token({args.r, args.w, args.k, args.v, args.a, args.b}, at + kPrefetchTokens * width, N);
    }
    const float* HWY_RESTRICT r = args.r + at;
    const float* HWY_RESTRICT w = args.w + at;
    const float* HWY_RESTRICT key = args.k + at;
    const float* HWY_RESTRICT b = args.b + at;
    if (t + 1 < task.segment.end) a += width;  // what the last token's own gives is not used
    for (Index i = 0; i < kVectors; ++i) {
      value[i] = hn::LoadU(d, args.v + at + task.row + first + i * lanes);
      y[i] = u_next[i] = hn::Zero(d);
    }
    for (Index k = 0; k < N; ++k) {
      const V wk = hn::Set(d, w[k]), bk = hn::Set(d, b[k]), kk = hn::Set(d, key[k]);
      const V rk = hn::Set(d, r[k]), ak = hn::Set(d, a[k]);
      for (Index i = 0; i < kVectors; ++i) {
        float* HWY_RESTRICT at_state = S + k * stride + i * lanes;
        V s = hn::Mul(hn::LoadU(d, at_state), wk);
        s = hn::MulAdd(u[i], bk, s);
        s = hn::MulAdd(value[i], kk, s);
        hn::StoreU(s, d, at_state);
        y[i] = hn::MulAdd(s, rk, y[i]);
        u_next[i] = hn::MulAdd(s, ak, u_next[i]);
      }
    }
    for (Index i = 0; i < kVectors; ++i) {
      hn::StoreU(y[i], d, args.y + at + task.row + first + i * lanes);
      u[i] = u_next[i];
    }
  }
}

void wkv7_task(const Wkv7Args& args, const RecurrenceTask& task) {
  run_task<kMostVectors>(task, args.N, [&](auto d, auto vectors, auto keys, Index row) {
    run_rows<vectors, keys>(d, args, task, row);
  });
}

}  // namespace riverrun::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace riverrun::kernels::cpu {

namespace {

HWY_EXPORT(wkv7_task);

}  // namespace

void wkv7(const Wkv7Args& args, Stream stream) {
  run_recurrence(args, stream, RIVERRUN_DISPATCHED(wkv7_task));
}

}  // namespace riverrun::kernels::cpu
#endif  // HWY_ONCE
