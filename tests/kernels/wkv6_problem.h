// Random problems for WKV-6, of the kinds that hurt.
#pragma once

#include <memory>
#include <vector>

#include "kernels/wkv6.h"
#include "support.h"

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

struct Wkv6Problem {
  Index M, H, N;
  bool same_decay;  // of all tokens: w is [D], as in RWKV-5
  std::vector<float> r, w, k, v, u;

  Wkv6Problem(Index rows, Index heads, Index head_size, Decay decay, unsigned seed, bool constant = false)
      : M(rows), H(heads), N(head_size), same_decay(constant) {
    Random random(seed);
    const Index D = H * N;
    r = random.normals(M * D), k = random.normals(M * D, 0.5f), v = random.normals(M * D);
    u = random.normals(D), w.resize(constant ? D : M * D);
    for (float& factor : w) factor = decay_of(decay, random);
  }

  // Tokens [begin, end) alone.
  Wkv6Problem tokens(Index begin, Index end) const {
    Wkv6Problem part = *this;
    const Index D = H * N;
    part.M = end - begin;
    for (auto* data : {&part.r, &part.w, &part.k, &part.v}) {
      if (data == &part.w && same_decay) continue;
      *data = std::vector<float>(data->begin() + begin * D, data->begin() + end * D);
    }
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
            .w_stride = same_decay ? 0 : H * N,
            .k = k.data(),
            .v = v.data(),
            .u = u.data()};
  }
};

struct Wkv6Result {
  std::vector<float> y;                    // [M, D]
  std::vector<std::vector<float>> states;  // per segment [H, N, N]
};

// Runs all heads at once. `states_in` per segment, empty: null.
inline Wkv6Result run_wkv6(const KernelTable& table, const Wkv6Problem& problem,
                           const std::vector<Segment>& segments,
                           const std::vector<std::vector<float>>& states_in, int threads) {
  Threads pool(threads);
  const Index state_size = problem.H * problem.N * problem.N;
  Output y(problem.M * problem.H * problem.N, DType::f32);
  std::vector<std::unique_ptr<Output>> out;
  std::vector<const float*> in_pointers;
  std::vector<float*> out_pointers;
  for (std::size_t s = 0; s < segments.size(); ++s) {
    in_pointers.push_back(states_in[s].empty() ? nullptr : states_in[s].data());
    out.push_back(std::make_unique<Output>(state_size, DType::f32));
    out_pointers.push_back(out.back()->f32());
  }
  Wkv6Args args = problem.args();
  args.y = y.f32(), args.segment_count = static_cast<Index>(segments.size()), args.segments = segments.data();
  args.state_in = in_pointers.data(), args.state_out = out_pointers.data();
  table.wkv6(args, pool);
  Wkv6Result result = {y.values(), {}};
  for (const auto& state : out) result.states.push_back(state->values());
  return result;
}

inline double largest(const std::vector<float>& values) {
  double most = 0;
  for (const float value : values) most = std::max(most, std::abs(double{value}));
  return most;
}

// y and the states of `table` against the recurrence of the reference, within `tolerance` of the largest
// value.
inline void expect_wkv6_agreement(const KernelTable& table, const Wkv6Problem& problem,
                                  const std::vector<Segment>& segments,
                                  const std::vector<std::vector<float>>& states, int threads,
                                  double tolerance, const std::string& what) {
  const auto got = run_wkv6(table, problem, segments, states, threads);
  const auto expected = run_wkv6(oracle(), problem, segments, states, 1);
  expect_near(got.y, expected.y, tolerance * largest(expected.y), 0, what + ", y");
  for (std::size_t s = 0; s < segments.size(); ++s) {
    expect_near(got.states[s], expected.states[s], tolerance * largest(expected.states[s]), 0,
                what + ", state");
  }
}

}  // namespace riverrun::kernels
