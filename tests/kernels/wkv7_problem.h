// Random problems for WKV-7, of the kinds that hurt.
#pragma once

#include <vector>

#include "kernels/wkv7.h"
#include "recurrence.h"

namespace riverrun::kernels {

enum class Kind {
  usual,         // decays spread as in trained models
  long_memory,   // 1 - w between 1e-8 and 1e-6: a lost state shows
  edge,          // w at its lower bound, exp(-exp(-1/2)) = 0.5453
  repeated_key,  // one key throughout, w and rate almost 1: the state grows
};
inline constexpr Kind kKinds[] = {Kind::usual, Kind::long_memory, Kind::edge, Kind::repeated_key};

struct Wkv7Problem : HeadSizes {
  std::vector<float> r, w, k, v, a, b;
  DType operand = DType::f32;

  Wkv7Problem(Index rows, Index heads, Index head_size, Kind kind, unsigned seed)
      : HeadSizes{rows, heads, head_size} {
    Random random(seed);
    const Index D = width();
    r = random.normals(M * D), k = random.normals(M * D, 0.5f), v = random.normals(M * D);
    w.resize(M * D), a.resize(M * D), b.resize(M * D);
    const auto one_key = random.normals(N);
    for (Index head = 0; head < M * H; ++head) {
      auto removal = kind == Kind::repeated_key ? one_key : random.normals(N);
      double norm = 0;
      for (const float x : removal) norm += double{x} * x;
      for (Index n = 0; n < N; ++n) {
        const Index i = head * N + n;
        const float unit = static_cast<float>(removal[n] / std::sqrt(norm));
        const float rate = kind == Kind::repeated_key ? 0.999f : random.uniform(0.0f, 1.0f);
        if (kind == Kind::repeated_key) k[i] = one_key[n];
        w[i] = kind == Kind::edge    ? 0.5453f
               : kind == Kind::usual ? std::exp(-std::exp(random.uniform(-7.0f, -0.5f)))
                                     : 1.0f - random.uniform(1e-8f, 1e-6f);
        a[i] = -unit, b[i] = unit * rate;
      }
    }
  }

  // Tokens [begin, end) alone.
  Wkv7Problem tokens(Index begin, Index end) const {
    Wkv7Problem part = *this;
    part.M = end - begin;
    for (auto* data : {&part.r, &part.w, &part.k, &part.v, &part.a, &part.b}) {
      *data = rows_of(*data, begin, end, width());
    }
    return part;
  }

  Wkv7Args args() const {
    return {.M = M,
            .H = H,
            .N = N,
            .first_head = 0,
            .heads = H,
            .r = r.data(),
            .w = w.data(),
            .k = k.data(),
            .v = v.data(),
            .a = a.data(),
            .b = b.data(),
            .operand = operand};
  }

  static void run(const KernelTable& table, const Wkv7Args& args, Stream stream) { table.wkv7(args, stream); }
};

// What operands rounded to TF32 cost y, root of mean square over root of mean square, after M tokens. Each is off by up to 2^-11 of
// itself, by 2^-11 / sqrt(3) in the mean; there are 12 of them on the way to y's longest term, Mrb (I - L)^-1 Mak v: two for
// each of Mrb, L and Mak, these themselves, v, the right side and u. They are independent, so sqrt(12 / 3) 2^-11.
//
// With one key repeated and nothing forgotten, u b + v k cancels along the key, but what was rounded off b and off k also lies
// across it, where no later token removes it: M times 2^-11 sqrt(2 / 3) of a token's share, with the values' random signs.
inline double cost_of_tf32(Kind kind, Index M) {
  return kind == Kind::repeated_key ? 0x1p-11 * std::sqrt(static_cast<double>(M)) : 0x1p-10;
}

}  // namespace riverrun::kernels
