// Random problems for WKV-4, of the kinds that hurt.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "kernels/wkv4.h"
#include "recurrence.h"

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

  Index parts() const { return D; }
  Index width() const { return D; }
  Index state_size() const { return 3 * D; }
  // As a past of some tokens leaves it: [D, 3].
  std::vector<float> state(unsigned seed) const {
    Random random(seed);
    std::vector<float> abp(state_size());
    for (Index d = 0; d < D; ++d) {
      const float b = random.uniform(1, 20);
      abp[3 * d] = b * random.normal(), abp[3 * d + 1] = b, abp[3 * d + 2] = random.uniform(-5, 5);
    }
    return abp;
  }
  std::vector<float> no_past() const {
    std::vector<float> abp(state_size());
    for (Index d = 0; d < D; ++d) abp[3 * d + 2] = kWkv4NoPast;
    return abp;
  }
  static void take_range(Wkv4Args& args, Index first, Index count) {
    args.first_channel = first, args.channels = count;
  }

  // Tokens [begin, end) alone.
  Wkv4Problem tokens(Index begin, Index end) const {
    Wkv4Problem part = *this;
    part.M = end - begin;
    for (auto* data : {&part.k, &part.v}) *data = rows_of(*data, begin, end, D);
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

  static void run(const KernelTable& table, const Wkv4Args& args, Stream stream) { table.wkv4(args, stream); }
};

// y is a mean of values, and so is a / b: both off by at most `tolerance` of the largest. b times e^p, the
// sum of weights, is off by that factor; p itself only where both weights are 1, and then by rounding.
inline void expect_wkv4_agreement(const KernelTable& table, const Wkv4Problem& problem,
                                  const std::vector<Segment>& segments,
                                  const std::vector<std::vector<float>>& states, int threads,
                                  double tolerance, const std::string& what, const KernelTable& right_one = oracle()) {
  const auto got = run_recurrence(table, problem, segments, states, threads);
  const auto expected = run_recurrence(right_one, problem, segments, states, 1);
  const double most = std::max(1.0, largest(expected.y));
  expect_near(got.y, expected.y, tolerance * most, 0, what + ", y");
  ASSERT_EQ(got.states.size(), expected.states.size());
  for (std::size_t s = 0; s < got.states.size(); ++s) {
    for (std::size_t i = 0; i < got.states[s].size(); i += 3) {
      const float *state = got.states[s].data() + i, *right = expected.states[s].data() + i;
      ASSERT_NEAR(state[2], right[2], tolerance * std::max(1.0, std::abs(double{right[2]})))
          << what << ", p of channel " << i / 3;
      // Where two weights are next to equal, either may be the p that both sums are divided by.
      const double factor = std::exp(double{right[2]} - state[2]), a = factor * right[0], b = factor * right[1];
      ASSERT_NEAR(state[0], a, tolerance * std::max(most * b, std::abs(a))) << what << ", a of channel " << i / 3;
      ASSERT_NEAR(state[1], b, tolerance * b) << what << ", b of channel " << i / 3;
    }
  }
}

}  // namespace riverrun::kernels
