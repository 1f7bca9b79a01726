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
            .b = b.data()};
  }

  static void run(const KernelTable& table, const Wkv7Args& args, Stream stream) { table.wkv7(args, stream); }
};

}  // namespace riverrun::kernels
