// What the chunked CUDA kernels are as accurate as: fp32, or operands with the ten bits of TF32 and fp16; and that a cut between
// chunks changes no bit.
#include <array>

#include "kernels/reference/wkv6_chunk.h"
#include "kernels/reference/wkv7_chunk.h"
#include "wkv6_problem.h"
#include "wkv7_problem.h"

namespace riverrun::kernels {
namespace {

// Emulated, or on a GPU (RIVERRUN_TEST_MIRRORED=cuda).
const KernelTable& table() {
  const auto variants = fast_variants();
  const auto cuda = std::ranges::find_if(variants, of_cuda);
  RR_CHECK(cuda != variants.end(), "neither an emulator nor RIVERRUN_TEST_MIRRORED");
  return select(*cuda);
}

// The same chunks on the CPU, with the same operands rounded and sums in fp64.
KernelTable model() {
  KernelTable table = oracle();
  table.wkv6 = reference::wkv6_chunk;
  table.wkv7 = reference::wkv7_chunk;
  return table;
}

// y after M tokens without a past.
template <class Problem>
std::vector<float> y_of(const KernelTable& table, const Problem& problem) {
  return run_recurrence(table, problem, {{0, problem.M}}, {{}}, 1).y;
}

// A cut at a multiple of a chunk that leaves a chunk or more behind changes no bit, and short segments beside
// long ones have the bits they have alone.
TEST(CudaChunks, ACutAtAMultipleOfAChunkChangesNoBit) {
  for (const DType operand : {DType::f32, DType::bf16}) {
    for (const Index N : {32, 64}) {
      for (const Kind kind : kKinds) {
        const auto whole = in_type(operand, Wkv7Problem(100, 1, N, kind, 21));
        expect_cuts_change_no_bit(table(), whole, whole.state(22), {16, 80});
      }
      for (const Decay kind : kDecays) {
        const auto whole = in_type(operand, Wkv6Problem(100, 1, N, kind, 24));
        expect_cuts_change_no_bit(table(), whole, whole.state(25), {16, 80});
      }
    }
  }
}

// Against fp64, of the largest value: what three products in TF32 and sums in fp32 leave. One key repeated
// throughout makes a state that grows, as in docs/wkv.md.
TEST(CudaChunks, AreAsGoodAsFp32) {
  for (const Kind kind : kKinds) {
    const Wkv7Problem problem(300, 1, 64, kind, 23);
    const auto expected = y_of(oracle(), problem);
    expect_near(y_of(table(), problem), expected, (kind == Kind::repeated_key ? 4e-6 : 2e-6) * largest(expected), 0,
                concat("kind ", static_cast<int>(kind)));
  }
  for (const Decay kind : kDecays) {  // groups of 256 tokens, and a rest
    const Wkv6Problem problem(600, 1, 64, kind, 23);
    const auto got = run_recurrence(table(), problem, {{0, 600}}, {problem.state(24)}, 1),
               expected = run_recurrence(oracle(), problem, {{0, 600}}, {problem.state(24)}, 1);
    expect_near(got.y, expected.y, 2e-6 * largest(expected.y), 0, concat("decay ", static_cast<int>(kind)));
    expect_near(got.states[0], expected.states[0], 2e-6 * largest(expected.states[0]), 0, concat("decay ", static_cast<int>(kind)));
  }
}

TEST(CudaChunks, OperandsOfTenBitsCostWhatTheirRoundingSays) {
  for (const DType operand : {DType::bf16, DType::f16}) {
    for (const Kind kind : kKinds) {
      const auto problem = in_type(operand, Wkv7Problem(300, 1, 64, kind, 23));
      EXPECT_LE(rms_error(y_of(table(), problem), y_of(oracle(), problem)), cost_of_tf32(kind, 300))
          << "kind " << static_cast<int>(kind);
    }
    for (const Decay kind : kDecays) {
      const auto problem = in_type(operand, Wkv6Problem(300, 1, 64, kind, 23));
      EXPECT_LE(rms_error(y_of(table(), problem), y_of(oracle(), problem)), kCostOfTf32)
          << "kind " << static_cast<int>(kind);
    }
  }
}

// Of all that can be rounded exactly what the model rounds, and as it does. Sums that differ by 2^-22 round to another TF32 in one
// of 2^12 cases, 2^-10 away: sqrt(2^-12) 2^-10 = 2^-16 for each of the 12 operands on the way, 2^-14.2 in all. Few tokens, since a state
// keeps such differences, and no repeated key, across which they are not removed. Rounding towards zero, or of one operand more or
// less, is off by 2^-12.
TEST(CudaChunks, OperandsAreRoundedWhereTheModelRoundsThem) {
  for (const Kind kind : {Kind::usual, Kind::long_memory, Kind::edge}) {
    for (const Index N : {32, 64}) {
      const auto problem = in_type(DType::bf16, Wkv7Problem(40, 2, N, kind, 26));
      EXPECT_LE(rms_error(y_of(table(), problem), y_of(model(), problem)), 0x1p-14) << "kind " << static_cast<int>(kind);
    }
  }
  for (const Decay kind : kDecays) {
    const auto problem = in_type(DType::bf16, Wkv6Problem(40, 2, 64, kind, 27));
    EXPECT_LE(rms_error(y_of(table(), problem), y_of(model(), problem)), 0x1p-14) << "kind " << static_cast<int>(kind);
  }
}

// Operands of fp16 have TF32's digits in a smaller range: the state is brought into it by a power of two that the largest of a warp's
// rows decides, whatever size it has.
TEST(CudaChunks, AStateOfAnySizeIsReadAlike) {
  for (const Index N : {32, 64}) {
    auto problem = in_type(DType::bf16, Wkv7Problem(40, 1, N, Kind::usual, 31));
    std::fill(problem.v.begin(), problem.v.end(), 0.0f);
    const auto state = problem.state(32);
    const auto with_state_times = [&](float by) {
      auto scaled = state;
      for (float& element : scaled) element *= by;
      auto result = run_recurrence(table(), problem, {{0, problem.M}}, {scaled}, 1);
      for (auto* values : {&result.y, &result.states[0]}) {
        for (float& value : *values) value /= by;
      }
      return result;
    };
    const auto expected = with_state_times(1);
    for (const int power : {-16, -7, 9, 16, 27}) {
      const auto got = with_state_times(std::ldexp(1.0f, power));
      if (std::abs(power) < 10) {  // a power of two that fp16 has
        EXPECT_TRUE(same_bits(got.y, expected.y)) << "2^" << power;
      }
      EXPECT_LE(rms_error(got.y, expected.y), 0x1p-11) << "2^" << power;
      EXPECT_LE(rms_error(got.states[0], expected.states[0]), 0x1p-11) << "2^" << power;
    }
  }
}

// Values of any size that fp16 has, and keys and receptances of hundreds, at decays that take them to the end of its range.
TEST(CudaChunks, OperandsAtTheEndsOfTheirRangeCostNoMore) {
  for (const auto& [v, k, r] : {std::array{1e-3f, 1.0f, 1.0f}, {1e4f, 1.0f, 1.0f}, {1.0f, 100.0f, 1.0f}, {1.0f, 1.0f, 100.0f}}) {
    auto problem = in_type(DType::bf16, Wkv7Problem(100, 1, 64, Kind::edge, 33));
    for (Index i = 0; i < problem.M * problem.width(); ++i) problem.v[i] *= v, problem.k[i] *= k, problem.r[i] *= r;
    EXPECT_LE(rms_error(y_of(table(), problem), y_of(oracle(), problem)), cost_of_tf32(Kind::edge, 100)) << v << ", " << k << ", " << r;
  }
}

// What is no number, and what becomes none because it leaves the range of fp16, shows from its chunk on: all of y where a key of that
// size is read, the value's own row otherwise. The other rows stay what they are.
TEST(CudaChunks, WhatIsNoNumberShowsAndStaysInItsRow) {
  const Index N = 64, M = 48, at = 20;
  const auto clean = in_type(DType::f16, Wkv7Problem(M, 1, N, Kind::usual, 34));
  const auto expected = y_of(table(), clean);
  for (const float value : {kNaN, std::numeric_limits<float>::infinity(), -1e6f}) {
    auto spoilt = clean;
    spoilt.v[at * N + 7] = value;
    const auto y = y_of(table(), spoilt);
    for (Index i = 0; i < M * N; ++i) {
      if (i % N == 7 && i / N >= 16) {
        EXPECT_TRUE(std::isnan(y[i])) << i << " of " << value;
      } else {
        EXPECT_NEAR(y[i], expected[i], 1e-4 * largest(expected)) << i << " of " << value;
      }
    }
    spoilt = clean;
    spoilt.k[at * N + 7] = value;
    const auto all = y_of(table(), spoilt);
    for (Index i = 16 * N; i < M * N; ++i) EXPECT_FALSE(i / N >= at && std::isfinite(all[i])) << i << " of " << value;
  }
}

}  // namespace
}  // namespace riverrun::kernels
