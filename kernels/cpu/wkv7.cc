// WKV-7 token by token, with vectors over value rows (docs/wkv.md).
//
// The state of a task is kept transposed, [key][value rows of the task], so that no sum runs across lanes. A
// pass over the keys updates the state with token t and at once takes its product with a of token t + 1: each
// element is loaded and stored once per token. Every value row goes through the same operations in the same
// order whichever task, vector or call holds it, so neither a cut in time nor the split over tasks changes a
// bit.
#include <hwy/cache_control.h>

#include <algorithm>

#include "core/buffer.h"
#include "kernels/cpu/table.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/wkv7.cc"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include "kernels/cpu/simd-inl.h"

#ifndef RIVERRUN_KERNELS_CPU_WKV7_ONCE
#define RIVERRUN_KERNELS_CPU_WKV7_ONCE
namespace riverrun::kernels::cpu {

// Value rows [row, row + rows) of one head over one segment.
struct Wkv7Task {
  const Wkv7Args* args;
  Segment segment;
  Index head;  // of H
  Index row, rows;
  const float* state_in;  // of the head, or null
  float* state_out;       // of the head, or null
  float* S;               // scratch, [N][rows]
  const float* zeros;     // [N]
};

}  // namespace riverrun::kernels::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace riverrun::kernels::cpu::HWY_NAMESPACE {

// The registers of a state pass: AVX-512 and NEON have 32, AVX2 has 16.
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_SSE4 || HWY_TARGET == HWY_SSSE3
constexpr Index kMostVectors = 2;
#else
constexpr Index kMostVectors = 4;
#endif
constexpr Index kPrefetchTokens = 3;

// to[c * to_stride + r] = from[r * from_stride + c]
void transpose(const float* from, Index from_stride, Index rows, Index columns, float* to, Index to_stride) {
  Index done = 0;  // columns
#if HWY_TARGET != HWY_SCALAR
  const hn::FixedTag<float, 4> d;
  for (; rows % 4 == 0 && done + 4 <= columns; done += 4) {
    for (Index r = 0; r < rows; r += 4) {
      const float* tile = from + r * from_stride + done;
      const auto row0 = hn::LoadU(d, tile), row1 = hn::LoadU(d, tile + from_stride);
      const auto row2 = hn::LoadU(d, tile + 2 * from_stride), row3 = hn::LoadU(d, tile + 3 * from_stride);
      const auto left01 = hn::InterleaveLower(d, row0, row1), left23 = hn::InterleaveLower(d, row2, row3);
      const auto right01 = hn::InterleaveUpper(d, row0, row1), right23 = hn::InterleaveUpper(d, row2, row3);
      float* out = to + done * to_stride + r;
      hn::StoreU(hn::ConcatLowerLower(d, left23, left01), d, out);
      hn::StoreU(hn::ConcatUpperUpper(d, left23, left01), d, out + to_stride);
      hn::StoreU(hn::ConcatLowerLower(d, right23, right01), d, out + 2 * to_stride);
      hn::StoreU(hn::ConcatUpperUpper(d, right23, right01), d, out + 3 * to_stride);
    }
  }
#endif
  for (; done < columns; ++done) {
    for (Index r = 0; r < rows; ++r) to[done * to_stride + r] = from[r * from_stride + done];
  }
}

void load_state(const Wkv7Task& task) {
  const Index N = task.args->N;
  if (task.state_in == nullptr) {
    std::fill_n(task.S, N * task.rows, 0.0f);
  } else {
    transpose(task.state_in + task.row * N, N, task.rows, N, task.S, task.rows);
  }
}

void store_state(const Wkv7Task& task) {
  const Index N = task.args->N;
  if (task.state_out != nullptr) transpose(task.S, task.rows, N, task.rows, task.state_out + task.row * N, N);
}

HWY_INLINE void prefetch_token(const Wkv7Args& args, Index at) {
  for (const float* data : {args.r, args.w, args.k, args.v, args.a, args.b}) {
    for (Index i = 0; i < args.N; i += 16) hwy::Prefetch(data + at + i);
  }
}

// kVectors vectors of value rows, starting with row `first` of the task. kKeys is N when known, else 0.
template <Index kVectors, Index kKeys, class D>
HWY_NOINLINE void run_rows(D d, const Wkv7Task& task, Index first) {
  using V = hn::Vec<D>;
  const Wkv7Args& args = *task.args;
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
    if (t + kPrefetchTokens < task.segment.end) prefetch_token(args, at + kPrefetchTokens * width);
    const float* HWY_RESTRICT r = args.r + at;
    const float* HWY_RESTRICT w = args.w + at;
    const float* HWY_RESTRICT key = args.k + at;
    const float* HWY_RESTRICT b = args.b + at;
    a = t + 1 < task.segment.end ? args.a + at + width : task.zeros;
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

template <Index kKeys, class D>
void run_task_with(D d, const Wkv7Task& task) {
  const Index lanes = hn::Lanes(d);
  Index row = 0;
  for (; row + kMostVectors * lanes <= task.rows; row += kMostVectors * lanes) {
    run_rows<kMostVectors, kKeys>(d, task, row);
  }
  for (; row + 2 * lanes <= task.rows; row += 2 * lanes) run_rows<2, kKeys>(d, task, row);
  for (; row < task.rows; row += lanes) run_rows<1, kKeys>(d, task, row);
}

void run_task(const Wkv7Task& task) {
  load_state(task);
  if (task.segment.begin < task.segment.end) {
    if (task.args->N == 64 && task.rows % 16 == 0) {
      run_task_with<64>(hn::CappedTag<float, 16>(), task);
    } else {
      with_lanes(task.rows, [&](auto d) { run_task_with<0>(d, task); });
    }
  }
  store_state(task);
}

}  // namespace riverrun::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace riverrun::kernels::cpu {

namespace {

HWY_EXPORT(run_task);

// Value rows per task: all of them, or half or a quarter where there would be too few tasks for the threads.
Index rows_per_task(const Wkv7Args& args, int threads) {
  Index rows = args.N;
  const Index whole_heads = args.segment_count * args.heads;
  while (rows % 32 == 0 && whole_heads * (args.N / rows) < 2 * threads && threads > 1) rows /= 2;
  return rows;
}

}  // namespace

void wkv7(const Wkv7Args& args, Stream stream) {
  check_segments(args.segment_count, args.segments, args.M);
  RR_CHECK(args.first_head >= 0 && args.heads >= 0 && args.first_head + args.heads <= args.H, "heads ",
           args.first_head, " + ", args.heads, " of ", args.H);
  const Index N = args.N, rows = rows_per_task(args, stream.pool->threads()), parts = N / rows;
  const Array<float> zeros(N, 0.0f), scratch(stream.pool->threads() * N * rows);
  stream.pool->run(args.segment_count * args.heads * parts, [&](Index at, int worker) {
    const Index part = at % parts, h = at / parts % args.heads, s = at / parts / args.heads;
    const float* in = args.state_in[s];
    float* out = args.state_out[s];
    HWY_DYNAMIC_DISPATCH(run_task)
    ({&args, args.segments[s], args.first_head + h, part * rows, rows,
      in == nullptr ? nullptr : in + h * N * N, out == nullptr ? nullptr : out + h * N * N,
      scratch.data() + worker * N * rows, zeros.data()});
  });
}

}  // namespace riverrun::kernels::cpu
#endif  // HWY_ONCE
