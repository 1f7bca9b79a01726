// Random problems for WKV-6, of the kinds that hurt.
#pragma once

#include <vector>

#include "kernels/wkv6.h"
#include "recurrence.h"

namespace riverrun::kernels {

enum class Decay {
  usual,        // spread as in trained models, strong ones too
  long_memory,  // 1 - w between 1e-8 and 1e-6: a lost state shows
  vanishing,    // 0, a subnormal number, 1e-30, 0.5 and 1, in any order: no logarithm and no reciprocal
                // survives it
};
inline constexpr Decay kDecays[] = {Decay::usual, Decay::long_memory, Decay::vanishing};

inline float decay_of(Decay kind, Random& random) {
  constexpr float kVanishing[] = {0.0f, 0x1p-145f, 1e-30f, 0.5f, 1.0f};
  switch (kind) {
    case Decay::usual:
      return std::exp(-std::exp(random.uniform(-7.0f, 2.0f)));
    case Decay::long_memory:
      return 1.0f - random.uniform(1e-8f, 1e-6f);
    case Decay::vanishing:
      return kVanishing[random.below(5)];
  }
  return kNaN;
}

struct Wkv6Problem : HeadSizes {
  bool same_decay;  // of all tokens: w is [D], as in RWKV-5
  std::vector<float> r, w, k, v, u;
  DType operand = DType::f32;

  Wkv6Problem(Index rows, Index heads, Index head_size, Decay decay, unsigned seed, bool constant = false)
      : HeadSizes{rows, heads, head_size}, same_decay(constant) {
    Random random(seed);
    const Index D = width();
    r = random.normals(M * D), k = random.normals(M * D, 0.5f), v = random.normals(M * D);
    u = random.normals(D), w.resize(constant ? D : M * D);
    for (float& factor : w) factor = decay_of(decay, random);
  }

  // Tokens [begin, end) alone.
  Wkv6Problem tokens(Index begin, Index end) const {
    Wkv6Problem part = *this;
    part.M = end - begin;
    for (auto* data : {&part.r, &part.k, &part.v}) *data = rows_of(*data, begin, end, width());
    if (!same_decay) part.w = rows_of(w, begin, end, width());
    return part;
  }

  // The same decays, written out token by token.
  Wkv6Problem with_repeated_decay() const {
    Wkv6Problem all = *this;
    all.same_decay = false, all.w.clear();
    for (Index t = 0; t < M; ++t) all.w.insert(all.w.end(), w.begin(), w.end());
    return all;
  }

  Wkv6Args args() const {
    return {.M = M,
            .H = H,
            .N = N,
            .first_head = 0,
            .heads = H,
            .r = r.data(),
            .w = w.data(),
            .w_stride = same_decay ? 0 : width(),
            .k = k.data(),
            .v = v.data(),
            .u = u.data(),
            .operand = operand};
  }

  static void run(const KernelTable& table, const Wkv6Args& args, Stream stream) { table.wkv6(args, stream); }
};

// What operands rounded to TF32 cost y, root of mean square over root of mean square: four are on the way, k and v in the state,
// the state itself and r, each off by 2^-11 / sqrt(3) in the mean.
inline const double kCostOfTf32 = 0x1p-11 * std::sqrt(4.0 / 3.0);

}  // namespace riverrun::kernels
