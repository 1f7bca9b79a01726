// Random problems for WKV-7, of the kinds that hurt.
#pragma once

#include <vector>

#include "kernels/wkv7.h"
#include "support.h"

namespace riverrun::kernels {

enum class Kind {
  usual,         // decays spread as in trained models
  long_memory,   // 1 - w between 1e-8 and 1e-6: a lost state shows
  edge,          // w at its lower bound, exp(-exp(-1/2)) = 0.5453
  repeated_key,  // one key throughout, w and rate almost 1: the state grows
};
inline constexpr Kind kKinds[] = {Kind::usual, Kind::long_memory, Kind::edge, Kind::repeated_key};

struct Wkv7Problem {
  Index M, H, N;
  std::vector<float> r, w, k, v, a, b;

  Wkv7Problem(Index rows, Index heads, Index head_size, Kind kind, unsigned seed)
      : M(rows), H(heads), N(head_size) {
    Random random(seed);
    const Index D = H * N;
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

  // Rows [begin, end) alone.
  Wkv7Problem rows(Index begin, Index end) const {
    Wkv7Problem part = *this;
    const Index D = H * N;
    part.M = end - begin;
    for (auto* data : {&part.r, &part.w, &part.k, &part.v, &part.a, &part.b}) {
      *data = std::vector<float>(data->begin() + begin * D, data->begin() + end * D);
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
};

struct Wkv7Result {
  std::vector<float> y;                    // [M, D]
  std::vector<std::vector<float>> states;  // per segment [H, N, N]
};

// Runs all heads at once. `states_in` per segment, empty: null.
inline Wkv7Result run_wkv7(const KernelTable& table, const Wkv7Problem& problem,
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
  Wkv7Args args = problem.args();
  args.y = y.f32(), args.segment_count = static_cast<Index>(segments.size()), args.segments = segments.data();
  args.state_in = in_pointers.data(), args.state_out = out_pointers.data();
  table.wkv7(args, pool);
  Wkv7Result result = {y.values(), {}};
  for (const auto& state : out) result.states.push_back(state->values());
  return result;
}

}  // namespace riverrun::kernels
