// Random problems for WKV-4, of the kinds that hurt.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "kernels/wkv4.h"
#include "support.h"

namespace riverrun::kernels {

enum class Wkv4Kind {
  usual,        // decays spread as in the official initialisation
  long_memory,  // w between -1e-4 and -1e-6: a lost state shows
  extreme,      // k from -80 to 80, w from -20 to -1e-6: weights far below the range of fp32
};
inline constexpr Wkv4Kind kWkv4Kinds[] = {Wkv4Kind::usual, Wkv4Kind::long_memory, Wkv4Kind::extreme};

struct Wkv4Problem {
  Index M, D;
  std::vector<float> k, v, w, u;

  Wkv4Problem(Index rows, Index channels, Wkv4Kind kind, unsigned seed) : M(rows), D(channels) {
    Random random(seed);
    k = random.normals(M * D, 2), v = random.normals(M * D), w.resize(D), u = random.normals(D, 0.5f);
    for (auto& decay : w) {
      decay = -std::exp(kind == Wkv4Kind::usual         ? random.uniform(-5, 3)
                        : kind == Wkv4Kind::long_memory ? random.uniform(-13.8f, -9.2f)
                                                        : random.uniform(-13.8f, 3));
    }
    if (kind != Wkv4Kind::extreme) return;
    for (auto& key : k) key = random.uniform(-80, 80);
    for (auto& bonus : u) bonus = random.uniform(-20, 20);
  }

  // Rows [begin, end) as a problem of their own.
  Wkv4Problem rows(Index begin, Index end) const {
    Wkv4Problem part = *this;
    part.M = end - begin;
    part.k = {k.begin() + begin * D, k.begin() + end * D},
    part.v = {v.begin() + begin * D, v.begin() + end * D};
    return part;
  }

  Wkv4Args args() const {
    return {.M = M,
            .D = D,
            .first_channel = 0,
            .channels = D,
            .k = k.data(),
            .v = v.data(),
            .w = w.data(),
            .u = u.data()};
  }
};

// States as a past of some tokens leaves them: [channels, 3].
inline std::vector<float> wkv4_state(Index channels, unsigned seed) {
  Random random(seed);
  std::vector<float> state(channels * 3);
  for (Index c = 0; c < channels; ++c) {
    const float b = random.uniform(1, 20);
    state[3 * c] = b * random.normal(), state[3 * c + 1] = b, state[3 * c + 2] = random.uniform(-5, 5);
  }
  return state;
}

struct Wkv4Result {
  std::vector<float> y;                    // [M, D]
  std::vector<std::vector<float>> states;  // per segment [D, 3]
};

// Runs all channels at once. `states_in` per segment, empty: null.
inline Wkv4Result run_wkv4(Wkv4 wkv4, const Wkv4Problem& problem, const std::vector<Segment>& segments,
                           const std::vector<std::vector<float>>& states_in, int threads) {
  Threads pool(threads);
  Output y(problem.M * problem.D, DType::f32);
  std::vector<std::unique_ptr<Output>> out;
  std::vector<const float*> in_pointers;
  std::vector<float*> out_pointers;
  for (std::size_t s = 0; s < segments.size(); ++s) {
    in_pointers.push_back(states_in[s].empty() ? nullptr : states_in[s].data());
    out.push_back(std::make_unique<Output>(problem.D * 3, DType::f32));
    out_pointers.push_back(out.back()->f32());
  }
  Wkv4Args args = problem.args();
  args.y = y.f32(), args.segment_count = static_cast<Index>(segments.size()), args.segments = segments.data();
  args.state_in = in_pointers.data(), args.state_out = out_pointers.data();
  wkv4(args, pool);
  Wkv4Result result = {y.values(), {}};
  for (const auto& state : out) result.states.push_back(state->values());
  return result;
}

// y is a mean of values, and so is a / b: both off by at most `tolerance` of the largest. b times e^p, the
// sum of weights, is off by that factor; p itself only where both weights are 1, and then by rounding.
inline void expect_close(const Wkv4Result& got, const Wkv4Result& expected, double tolerance,
                         const std::string& what) {
  double largest = 1;
  for (const float y : expected.y) largest = std::max(largest, std::abs(double{y}));
  expect_near(got.y, expected.y, tolerance * largest, 0, what + ", y");
  ASSERT_EQ(got.states.size(), expected.states.size());
  for (std::size_t s = 0; s < got.states.size(); ++s) {
    for (std::size_t i = 0; i < got.states[s].size(); i += 3) {
      const float *state = got.states[s].data() + i, *right = expected.states[s].data() + i;
      ASSERT_NEAR(state[0], right[0], tolerance * std::max(largest * right[1], std::abs(double{right[0]})))
          << what << ", a of channel " << i / 3;
      ASSERT_NEAR(state[1], right[1], tolerance * right[1]) << what << ", b of channel " << i / 3;
      ASSERT_NEAR(state[2], right[2], tolerance * std::max(1.0, std::abs(double{right[2]})))
          << what << ", p of channel " << i / 3;
    }
  }
}

}  // namespace riverrun::kernels
