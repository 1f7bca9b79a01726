// Products of activations, element by element, and the matrix that each token of DeepEmbed brings with it.
#include "kernels/cpu/rows.h"
#include "kernels/cpu/table.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/gate.cc"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace riverrun::kernels::cpu::HWY_NAMESPACE {

// `out` may be the memory of a or b: an element is read before it is written.
template <class D, class To>
HWY_INLINE void gate_row(D d, const GateArgs& args, Index at, To* out) {
  const Index lanes = hn::Lanes(d);
  for (Index i = 0; i < args.D; i += lanes) {
    auto b = hn::LoadU(d, args.b + at + i);
    if (args.bias != nullptr) b = hn::Add(b, hn::LoadU(d, args.bias + i));
    store(d, hn::Mul(hn::LoadU(d, args.a + at + i), b), out + at + i);
  }
}

void gate_rows(const GateArgs& args, Index begin, Index end) {
  with_lanes(args.D, [&](auto d) {
    with_type(args.out, args.out_type, 0, [&](auto* out) {
      for (Index m = begin; m < end; ++m) gate_row(d, args, m * args.D, out);
    });
  });
}

void gate_add_rows(const GateAddArgs& args, Index begin, Index end) {
  with_lanes(args.D, [&](auto d) {
    const Index lanes = hn::Lanes(d);
    for (Index i = begin * args.D; i < end * args.D; i += lanes) {
      const auto a = hn::LoadU(d, args.a + i), b = hn::LoadU(d, args.b + i);
      hn::StoreU(hn::MulAdd(a, b, hn::LoadU(d, args.x + i)), d, args.x + i);
    }
  });
}

// Columns [column, column + kVectors * lanes) of one token: the sums stay in registers, and go over i in
// order.
template <Index kVectors, class D, class To>
HWY_INLINE void token_columns(D d, const float* q, const float* E, Index R, Index column, To* out) {
  const Index lanes = hn::Lanes(d);
  hn::Vec<D> sum[kVectors];
  for (Index v = 0; v < kVectors; ++v) sum[v] = hn::Zero(d);
  for (Index i = 0; i < R; ++i) {
    const auto weight = hn::Set(d, q[i]);
    for (Index v = 0; v < kVectors; ++v) {
      sum[v] = hn::MulAdd(weight, hn::LoadU(d, E + i * R + column + v * lanes), sum[v]);
    }
  }
  for (Index v = 0; v < kVectors; ++v) store(d, sum[v], out + column + v * lanes);
}

void token_matrix_rows(const TokenMatrixArgs& args, Index begin, Index end) {
  const Index R = args.R;
  with_lanes(R, [&](auto d) {
    with_type(args.out, args.out_type, 0, [&](auto* out) {
      const Index lanes = hn::Lanes(d);
      for (Index m = begin; m < end; ++m) {
        const float *q = args.q + m * R, *E = args.E + m * R * R;
        Index column = 0;
        for (; column + 2 * lanes <= R; column += 2 * lanes)
          token_columns<2>(d, q, E, R, column, out + m * R);
        for (; column < R; column += lanes) token_columns<1>(d, q, E, R, column, out + m * R);
      }
    });
  });
}

}  // namespace riverrun::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace riverrun::kernels::cpu {

namespace {

HWY_EXPORT(gate_rows);
HWY_EXPORT(gate_add_rows);
HWY_EXPORT(token_matrix_rows);

}  // namespace

void gate(const GateArgs& args, Stream stream) {
  run_by_rows(args, stream, RIVERRUN_DISPATCHED(gate_rows));
}

void gate_add(const GateAddArgs& args, Stream stream) {
  run_by_rows(args, stream, RIVERRUN_DISPATCHED(gate_add_rows));
}

void token_matrix(const TokenMatrixArgs& args, Stream stream) {
  run_by_rows(args, stream, RIVERRUN_DISPATCHED(token_matrix_rows));
}

}  // namespace riverrun::kernels::cpu
#endif  // HWY_ONCE
