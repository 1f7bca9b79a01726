#include <algorithm>
#include <cmath>

#include "kernels/cpu/rows.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/table.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/norm.cc"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace riverrun::kernels::cpu::HWY_NAMESPACE {

// Sum of term(i) for i = 0, lanes, 2 * lanes, ... below D, in an order that D alone decides.
template <class D, class Term>
HWY_INLINE float sum_of(D d, Index size, Term&& term) {
  const Index lanes = hn::Lanes(d);
  auto sum0 = hn::Zero(d), sum1 = hn::Zero(d), sum2 = hn::Zero(d), sum3 = hn::Zero(d);
  Index i = 0;
  for (; i + 4 * lanes <= size; i += 4 * lanes) {
    sum0 = hn::Add(sum0, term(i)), sum1 = hn::Add(sum1, term(i + lanes));
    sum2 = hn::Add(sum2, term(i + 2 * lanes)), sum3 = hn::Add(sum3, term(i + 3 * lanes));
  }
  for (; i < size; i += lanes) sum0 = hn::Add(sum0, term(i));
  return sum_lanes(d, hn::Add(hn::Add(sum0, sum1), hn::Add(sum2, sum3)));
}

struct Statistics {
  float mean, scale;
};

template <class D>
HWY_INLINE Statistics statistics(D d, const float* x, Index size, float eps) {
  const float mean = sum_of(d, size, [&](Index i) { return hn::LoadU(d, x + i); }) / static_cast<float>(size);
  const auto center = hn::Set(d, mean);
  const float squares = sum_of(d, size, [&](Index i) {
    const auto away = hn::Sub(hn::LoadU(d, x + i), center);
    return hn::Mul(away, away);
  });
  return {mean, 1.0f / std::sqrt(squares / static_cast<float>(size) + eps)};
}

template <class D, class To>
HWY_INLINE void normalize(D d, const float* x, Index size, const float* weight, const float* bias, float eps,
                          To* y) {
  const Statistics row = statistics(d, x, size, eps);
  const auto mean = hn::Set(d, row.mean), scale = hn::Set(d, row.scale);
  const Index lanes = hn::Lanes(d);
  for (Index i = 0; i < size; i += lanes) {
    const auto n = hn::Mul(hn::Sub(hn::LoadU(d, x + i), mean), scale);
    store(d, hn::MulAdd(n, hn::LoadU(d, weight + i), hn::LoadU(d, bias + i)), y + i);
  }
}

void layer_norm_rows(const LayerNormArgs& args, Index begin, Index end) {
  with_lanes(args.D, [&](auto d) {
    for (Index m = begin; m < end; ++m) {
      with_type(args.y, args.y_type, m * args.D, [&](auto* y) {
        normalize(d, args.x + m * args.D, args.D, args.weight, args.bias, args.eps, y);
      });
    }
  });
}

void embed_rows(const EmbedArgs& args, Index begin, Index end) {
  with_lanes(args.D, [&](auto d) {
    const Index lanes = hn::Lanes(d);
    for (Index m = begin; m < end; ++m) {
      float* x = args.x + m * args.D;
      with_type(args.table, args.table_type, args.ids[m] * args.D, [&](const auto* row) {
        for (Index i = 0; i < args.D; i += lanes) hn::StoreU(load(d, row + i), d, x + i);
      });
      if (args.weight != nullptr) normalize(d, x, args.D, args.weight, args.bias, args.eps, x);
    }
  });
}

template <class D, class To>
HWY_INLINE void mix_row(D d, const ShiftMixArgs& args, const float* now, const float* before, Index at, To*) {
  const Index lanes = hn::Lanes(d);
  for (Index q = 0; q < args.mixes; ++q) {
    const float* HWY_RESTRICT mu = args.mu[q];
    To* HWY_RESTRICT out = static_cast<To*>(args.out[q]) + at;
    for (Index i = 0; i < args.D; i += lanes) {
      const auto n = hn::LoadU(d, now + i);
      store(d, hn::MulAdd(hn::Sub(hn::LoadU(d, before + i), n), hn::LoadU(d, mu + i), n), out + i);
    }
  }
}

// What the data-dependent lerps start from, as far as it is wanted.
template <class D>
HWY_INLINE void keep_row(D d, const ShiftMixArgs& args, const float* now, const float* before, Index at) {
  if (args.normal != nullptr) std::copy_n(now, args.D, args.normal + at);
  if (args.change == nullptr) return;
  const Index lanes = hn::Lanes(d);
  for (Index i = 0; i < args.D; i += lanes) {
    hn::StoreU(hn::Sub(hn::LoadU(d, before + i), hn::LoadU(d, now + i)), d, args.change + at + i);
  }
}

// Rows [begin, end) of any segments. n of the row before `begin` is computed again rather than waited for.
void shift_mix_rows(const ShiftMixArgs& args, Index begin, Index end) {
  const Index D = args.D;
  thread_local Buffer rows;
  float *now = grown<float>(rows, 2 * D), *before = now + D;
  with_lanes(D, [&](auto d) {
    const auto n_of = [&](Index t, float* n) {
      normalize(d, args.x + t * D, D, args.weight, args.bias, args.eps, n);
    };
    Index s = 0;
    while (args.segments[s].end <= begin) ++s;
    if (begin > args.segments[s].begin) n_of(begin - 1, before);
    for (Index t = begin; t < end; ++t) {
      while (args.segments[s].end <= t) ++s;
      if (t == args.segments[s].begin) {
        if (args.rows_in[s] != nullptr)
          std::copy_n(args.rows_in[s], D, before);
        else
          std::fill_n(before, D, 0.0f);
      }
      n_of(t, now);
      if (args.mixes > 0) {
        with_type(args.out[0], args.out_type, 0,
                  [&](auto* type) { mix_row(d, args, now, before, t * D, type); });
      }
      keep_row(d, args, now, before, t * D);
      std::swap(now, before);
    }
  });
}

// n of the last row of segments [begin, end), after all of rows_in has been read: it may be the same memory.
void hand_over_rows(const ShiftMixArgs& args, Index begin, Index end) {
  with_lanes(args.D, [&](auto d) {
    for (Index s = begin; s < end; ++s) {
      float* out = args.rows_out[s];
      if (out == nullptr) continue;
      const Segment segment = args.segments[s];
      if (segment.begin < segment.end) {
        normalize(d, args.x + (segment.end - 1) * args.D, args.D, args.weight, args.bias, args.eps, out);
      } else if (args.rows_in[s] == nullptr) {
        std::fill_n(out, args.D, 0.0f);
      } else if (args.rows_in[s] != out) {
        std::copy_n(args.rows_in[s], args.D, out);
      }
    }
  });
}

// The operations of mix_row in the same order, so that a delta of zeros gives the bits of ShiftMix.
template <class D, class To>
HWY_INLINE void dynamic_mix_row(D d, const DynamicMixArgs& args, Index at, To*) {
  const Index lanes = hn::Lanes(d);
  for (Index q = 0; q < args.mixes; ++q) {
    const float* HWY_RESTRICT mu = args.mu[q];
    const float* HWY_RESTRICT delta = args.delta[q] + at;
    To* HWY_RESTRICT out = static_cast<To*>(args.out[q]) + at;
    for (Index i = 0; i < args.D; i += lanes) {
      const auto share = hn::Add(hn::LoadU(d, mu + i), hn::LoadU(d, delta + i));
      const auto n = hn::LoadU(d, args.normal + at + i);
      store(d, hn::MulAdd(hn::LoadU(d, args.change + at + i), share, n), out + i);
    }
  }
}

void dynamic_mix_rows(const DynamicMixArgs& args, Index begin, Index end) {
  with_lanes(args.D, [&](auto d) {
    with_type(args.out[0], args.out_type, 0, [&](auto* type) {
      for (Index m = begin; m < end; ++m) dynamic_mix_row(d, args, m * args.D, type);
    });
  });
}

}  // namespace riverrun::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace riverrun::kernels::cpu {

namespace {

HWY_EXPORT(layer_norm_rows);
HWY_EXPORT(embed_rows);
HWY_EXPORT(shift_mix_rows);
HWY_EXPORT(hand_over_rows);
HWY_EXPORT(dynamic_mix_rows);

}  // namespace

void layer_norm(const LayerNormArgs& args, Stream stream) {
  run_by_rows(args, stream, RIVERRUN_DISPATCHED(layer_norm_rows));
}

void embed(const EmbedArgs& args, Stream stream) {
  for (Index m = 0; m < args.M; ++m) {
    RR_CHECK(args.ids[m] >= 0 && args.ids[m] < args.V, "token ", args.ids[m], " of a vocabulary of ", args.V);
  }
  run_by_rows(args, stream, RIVERRUN_DISPATCHED(embed_rows));
}

void shift_mix(const ShiftMixArgs& args, Stream stream) {
  check_segments(args.segment_count, args.segments, args.M);
  const bool rows_wanted = args.mixes > 0 || args.normal != nullptr || args.change != nullptr;
  if (args.M > 0 && rows_wanted) run_by_rows(args, stream, RIVERRUN_DISPATCHED(shift_mix_rows));
  stream.pool->run_ranges(args.segment_count, 2, [&](Index begin, Index end, int) {
    HWY_DYNAMIC_DISPATCH(hand_over_rows)(args, begin, end);
  });
}

void dynamic_mix(const DynamicMixArgs& args, Stream stream) {
  if (args.mixes == 0) return;
  run_by_rows(args, stream, RIVERRUN_DISPATCHED(dynamic_mix_rows));
}

}  // namespace riverrun::kernels::cpu
#endif  // HWY_ONCE
