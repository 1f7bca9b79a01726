// The CUDA kernels give the same bytes in whatever order threads, warps and blocks take their turns: a
// barrier that is missing, or two blocks that touch the same memory, would show. Also what only they have:
// more segments than one launch holds, and rows of few-row products that must not notice how many there are.
#include <array>

#include "cuda_emulator/backend.h"
#include "cuda_emulator/emulator.h"
#include "wkv4_problem.h"
#include "wkv6_problem.h"
#include "wkv7_problem.h"

namespace riverrun::kernels {
namespace {

using cuda_emulator::Order;

// run() for every order; its results must be the same.
template <class Run>
void expect_same_in_every_order(Run&& run, const std::string& what) {
  cuda_emulator::set_order(Order::forward);
  const auto expected = run();
  for (const Order order : {Order::reverse, Order::shuffled, Order::shuffled}) {
    cuda_emulator::set_order(order);
    EXPECT_TRUE(same_bits(run(), expected)) << what << ", order " << static_cast<int>(order);
  }
  cuda_emulator::set_order(Order::forward);
}

std::vector<float> joined(std::vector<float> first, const std::vector<std::vector<float>>& rest) {
  for (const auto& part : rest) first.insert(first.end(), part.begin(), part.end());
  return first;
}

const KernelTable& table() { return cuda_emulator::table(); }

// Of all tokens as one segment with a past.
std::vector<float> y_and_state(const Wkv7Problem& problem) {
  const auto result = run_recurrence(table(), problem, {{0, problem.M}}, {problem.state(6)}, 1);
  return joined(result.y, result.states);
}

std::vector<Segment> short_segments(Index count) {
  std::vector<Segment> segments;
  Index at = 0;
  for (Index s = 0; s < count; ++s) segments.push_back({at, at + s % 4}), at += s % 4;
  return segments;
}

TEST(CudaOrder, Recurrences) {
  const std::vector<Segment> segments = {
      {0, 0}, {0, 37}, {37, 38}, {38, 41}};  // chunks with a rest, and none
  for (const Index N : {20, 64, 128}) {
    const std::vector<std::vector<float>> states = {
        Random(1).normals(2 * N * N), {}, Random(2).normals(2 * N * N), {}};
    const auto of = [&](const auto& result) { return joined(result.y, result.states); };
    for (const DType operand : {DType::f32, DType::bf16}) {
      const auto seven = in_type(operand, Wkv7Problem(41, 2, N, Kind::usual, 3));
      expect_same_in_every_order([&] { return of(run_recurrence(table(), seven, segments, states, 1)); },
                                 concat("WKV-7 ", N, ", ", name_of(operand)));
      const auto six = in_type(operand, Wkv6Problem(41, 2, N, Decay::usual, 4));
      expect_same_in_every_order([&] { return of(run_recurrence(table(), six, segments, states, 1)); },
                                 concat("WKV-6 ", N, ", ", name_of(operand)));
    }
  }
}

// WKV-7's chunks go through slots of shared memory, in fp32 as many as the GPU has room for, each several times here, and crews of
// warps that wait for one another: the number of slots changes no bit either.
TEST(CudaOrder, ChunksInAnyNumberOfSlots) {
  for (const Index N : {32, 64}) {
    for (const DType operand : {DType::f32, DType::bf16}) {
      const Index M = 16 * 15 + 7;
      const auto problem = in_type(operand, Wkv7Problem(M, 1, N, Kind::long_memory, 5));
      const auto run = [&] { return y_and_state(problem); };
      const auto expected = run();
      for (const std::size_t most : {99, 163, 227}) {  // KiB: three slots of N = 64, five and six; four of N = 32 and six
        cuda_emulator::set_gpu({.most_shared = most << 10});
        const auto what = concat("N ", N, ", ", name_of(operand), ", ", most, " KiB");
        EXPECT_TRUE(same_bits(run(), expected)) << what;
        expect_same_in_every_order(run, what);
      }
      cuda_emulator::set_gpu({});
    }
  }
}

// A GPU with clusters and two multiprocessors to spare for each of `heads`.
cuda_emulator::Gpu with_clusters(Index heads) {
  return {.most_shared = 227 << 10, .capability = 9, .multiprocessors = static_cast<int>(2 * heads)};
}

// Two blocks to a head, which prepare chunks for each other, compute every number as one block does.
TEST(CudaOrder, TwoBlocksToAHeadChangeNoBit) {
  const std::vector<Segment> segments = {{0, 16}, {16, 49}, {49, 49 + 16 * 19 + 7}};
  for (const Index N : {32, 64}) {
    const auto problem = in_type(DType::bf16, Wkv7Problem(segments.back().end, 2, N, Kind::long_memory, 5));
    const std::vector<std::vector<float>> states = {problem.state(1), {}, problem.state(2)};
    const auto run = [&] {
      const auto result = run_recurrence(table(), problem, segments, states, 1);
      return joined(result.y, result.states);
    };
    const auto expected = run();
    cuda_emulator::set_gpu(with_clusters(2 * 3));
    EXPECT_TRUE(same_bits(run(), expected)) << "N " << N;
    expect_same_in_every_order(run, concat("N ", N));
    EXPECT_EQ(cuda_emulator::largest_cluster(), 2u);
    cuda_emulator::set_gpu({});
  }
}

// Whether a crew has no chunk, its last one or one more.
TEST(CudaOrder, TwoBlocksToAHeadHaveAnyNumberOfChunks) {
  for (Index M = 16; M < 16 * 18; M += M % 16 == 0 ? 5 : 11) {
    const auto problem = in_type(DType::bf16, Wkv7Problem(M, 1, 32, Kind::usual, 5));
    const auto expected = y_and_state(problem);
    cuda_emulator::set_gpu(with_clusters(1));
    EXPECT_TRUE(same_bits(y_and_state(problem), expected)) << M << " tokens";
    cuda_emulator::set_gpu({});
  }
}

// Only where the GPU has them, and every head of every segment finds two multiprocessors.
TEST(CudaOrder, ClustersAreForGpusThatHaveThemToSpare) {
  const auto largest = [](cuda_emulator::Gpu gpu, DType operand, Index N = 64) {
    cuda_emulator::set_gpu(gpu);
    const auto problem = in_type(operand, Wkv7Problem(40, 3, N, Kind::usual, 5));
    run_recurrence(table(), problem, {{0, 20}, {20, 40}}, {{}, {}}, 1);
    const unsigned found = cuda_emulator::largest_cluster();
    cuda_emulator::set_gpu({});
    return found;
  };
  cuda_emulator::Gpu gpu = with_clusters(6);
  EXPECT_EQ(largest(gpu, DType::bf16), 2u);
  EXPECT_EQ(largest(gpu, DType::f32), 1u);
  --gpu.multiprocessors;
  EXPECT_EQ(largest(gpu, DType::bf16), 1u);
  gpu = with_clusters(6), gpu.capability = 8;
  EXPECT_EQ(largest(gpu, DType::bf16), 1u);
  gpu = with_clusters(6), gpu.most_shared = 99 << 10;  // 12.0
  EXPECT_EQ(largest(gpu, DType::bf16), 1u);
  EXPECT_EQ(largest(gpu, DType::bf16, 32), 2u);
}

// A warp that stands still between two barriers, however long, is waited for where it has to be: no other's arrival counts in its place.
TEST(CudaOrder, AWarpOfTheChunksMayBeSlow) {
  for (const Index N : {32, 64}) {
    for (const DType operand : {DType::f32, DType::bf16}) {
      const Index M = 16 * 14 + 7;
      const auto problem = in_type(operand, Wkv7Problem(M, 1, N, Kind::long_memory, 5));
      const auto run = [&] { return y_and_state(problem); };
      const auto expected = run();
      for (const std::size_t most : {99, 163, 227}) {
        if (most > 99 && operand != DType::f32) break;  // it has as many slots on every GPU
        cuda_emulator::set_gpu({.most_shared = most << 10});
        for (unsigned warp = 0; warp < 3 * N / 16; ++warp) {
          cuda_emulator::set_order(Order::starved, warp);
          EXPECT_TRUE(same_bits(run(), expected)) << "warp " << warp << ", N " << N << ", " << name_of(operand) << ", " << most << " KiB";
        }
      }
      cuda_emulator::set_order(Order::forward);
      cuda_emulator::set_gpu({});
    }
  }
}

TEST(CudaOrder, AWarpOfTwoBlocksMayBeSlow) {
  for (const Index N : {32, 64}) {
    const auto problem = in_type(DType::bf16, Wkv7Problem(16 * 18 + 7, 1, N, Kind::long_memory, 5));
    const auto expected = y_and_state(problem);
    cuda_emulator::set_gpu(with_clusters(1));
    for (unsigned warp = 0; warp < 2 * (N / 32 + 4 * N / 32); ++warp) {
      cuda_emulator::set_order(Order::starved, warp);
      EXPECT_TRUE(same_bits(y_and_state(problem), expected)) << "warp " << warp << ", N " << N;
    }
    EXPECT_EQ(cuda_emulator::largest_cluster(), 2u);
    cuda_emulator::set_order(Order::forward);
    cuda_emulator::set_gpu({});
  }
}

// WKV-6 in groups at the same time, where heads leave multiprocessors idle, computes every number as one block does that goes through all.
// Segments of no group, of one, of whole ones, and of some with a rest.
TEST(CudaOrder, GroupsAtTheSameTimeChangeNoBit) {
  const std::vector<Segment> segments = {{0, 20}, {20, 20 + 256}, {276, 276 + 512}, {788, 788 + 3 * 256 + 37}, {1593, 1593 + 6 * 256 + 5}};
  for (const DType operand : {DType::f32, DType::bf16}) {
    for (const Index N : {32, 64}) {
      const bool heavy = N == 64;
      const std::vector<Segment> some(segments.begin(), segments.begin() + (heavy ? 4 : 5));
      for (const bool same_decay : {false, true}) {
        const auto problem = in_type(operand, Wkv6Problem(some.back().end, 2, N, same_decay ? Decay::long_memory : Decay::vanishing, 5, same_decay));
        std::vector<std::vector<float>> states(some.size(), Random(3).normals(2 * N * N));
        states[3].clear();
        const auto run = [&] {
          const auto result = run_recurrence(table(), problem, some, states, 1);
          return joined(result.y, result.states);
        };
        const auto expected = run();
        cuda_emulator::set_gpu({.multiprocessors = static_cast<int>(2 * some.size())});
        EXPECT_TRUE(same_bits(run(), expected)) << "N " << N << ", " << name_of(operand);
        EXPECT_EQ(cuda_emulator::deepest_grid(), heavy ? 3u : 6u);
        if (!heavy && operand == DType::bf16 && same_decay) expect_same_in_every_order(run, "groups");
        cuda_emulator::set_gpu({});
      }
    }
  }
}

TEST(CudaOrder, ACutBetweenGroupsChangesNoBit) {
  const auto whole = in_type(DType::bf16, Wkv6Problem(3 * 256 + 40, 1, 32, Decay::usual, 7));
  for (const int multiprocessors : {0, 8}) {
    cuda_emulator::set_gpu({.multiprocessors = multiprocessors});
    // The state behind the cut goes where the one before it came from, whichever group is done first.
    for (const Order order : {Order::forward, Order::reverse}) {
      cuda_emulator::set_order(order);
      expect_cuts_change_no_bit(table(), whole, whole.state(8), {256, 512, 768});
      expect_cuts_change_no_bit(table(), whole.tokens(0, 255), whole.state(8), {16, 224});
    }
    cuda_emulator::set_order(Order::forward);
    cuda_emulator::set_gpu({});
  }
}

// WKV-4's groups, in place and beside a segment without one: no thread reads what another one has made y of already.
TEST(CudaOrder, GroupsOfWkv4) {
  const Wkv4Problem problem(400, 40, Wkv4Kind::usual, 9);
  expect_same_in_every_order(
      [&] {
        Threads pool(1);
        std::vector<float> y(400 * 40, kNaN), first = problem.state(1), second = problem.state(2), third = problem.no_past();
        const std::vector<Segment> segments = {{0, 130}, {130, 190}, {190, 400}};
        const float* const in[] = {first.data(), second.data(), third.data()};
        float* const out[] = {first.data(), second.data(), third.data()};
        Wkv4Args args = problem.args();
        args.y = y.data(), args.segment_count = 3, args.segments = segments.data(), args.state_in = in, args.state_out = out;
        table().wkv4(args, pool);
        return joined(y, {first, second, third});
      },
      "WKV-4");
}

// The bans of a row are in place before its penalties, and both before the choice.
TEST(CudaOrder, Picks) {
  Threads pool(1);
  constexpr Index kV = 700;
  const std::vector<TokenId> banned = {3, 698, 512}, penalised = {0, 3, 511, 699, 1, 513};
  const std::vector<Index> begin = {0, 4, 6};
  expect_same_in_every_order(
      [&] {
        auto logits = Random(8).normals(2 * kV);
        std::vector<TokenId> tokens(2, -77);
        const std::vector<float> penalties = {1, 2, -40, 3, 4, -50};
        table().pick_largest({2, kV, logits.data(), std::ssize(banned), banned.data(), begin.data(), penalised.data(), penalties.data(), tokens.data()},
                             pool);
        EXPECT_EQ(tokens, (std::vector<TokenId>{511, 513}));
        return logits;
      },
      "pick");
}

// Threads add up masses in columns of their own, and find cutoff, last tie and token together.
TEST(CudaOrder, Draws) {
  Threads pool(1);
  constexpr Index kV = 1100;
  auto logits = Random(8).normals(2 * kV);
  for (float& logit : logits) logit = std::round(4 * logit) / 4;
  const std::vector<std::uint64_t> random = {~std::uint64_t{0} / 3, ~std::uint64_t{0} / 7};
  expect_same_in_every_order(
      [&] {
        std::vector<TokenId> tokens(2, -77);
        table().pick_largest({2, kV, logits.data(), 0, nullptr, nullptr, nullptr, nullptr, tokens.data()}, pool);
        table().draw({2, kV, logits.data(), 0.7f, 0.8, 90, random.data(), tokens.data()}, pool);
        return std::vector<float>(tokens.begin(), tokens.end());
      },
      "draw");
}

TEST(CudaOrder, Products) {
  Threads pool(1);
  for (const DType type : {DType::f32, DType::bf16, DType::f16}) {
    for (const auto& [M, N, K] :
         {std::array<Index, 3>{1, 20, 300}, {5, 40, 64}, {18, 24, 520}, {70, 9, 33}}) {
      const auto w = Random(5).normals(N * K);
      const auto packed = table().pack_matrix({w.data(), DType::f32, N, K, K, 1}, type, pool);
      const Output x(Random(6).normals(M * K), type);
      expect_same_in_every_order(
          [&, rows = M, outputs = N] {
            Output y(rows * outputs, DType::f32);
            multiply(table(), {rows, const_cast<Output&>(x).data(), packed.get(), y.data(), DType::f32, Epilogue::tanh},
                pool);
            return y.values();
          },
          concat(name_of(type), ", ", M, " rows"));
    }
  }
}

// In place: what comes in with a segment is the memory of what goes on after it.
TEST(CudaOrder, ShiftMixInPlace) {
  Threads pool(1);
  const Index D = 300, M = 40;
  const std::vector<Segment> segments = {{0, 0}, {0, 1}, {1, 30}, {30, 40}};
  const auto x = Random(7).normals(M * D), weight = Random(8).normals(D), bias = Random(9).normals(D),
             mu = Random(10).normals(D);
  expect_same_in_every_order(
      [&] {
        auto rows = Random(11).normals(4 * D);
        std::vector<float*> carried;
        for (Index s = 0; s < 4; ++s) carried.push_back(rows.data() + s * D);
        Output out(M * D, DType::f32);
        const float* mus = mu.data();
        void* outs = out.data();
        table().shift_mix({M, D, x.data(), weight.data(), bias.data(), 1e-5f, 4, segments.data(),
                           carried.data(), carried.data(), 1, &mus, &outs, DType::f32},
                          pool);
        return joined(out.values(), {rows});
      },
      "shift mix");
}

TEST(CudaOrder, Readouts) {
  Threads pool(1);
  const Index M = 3, V = 5000;
  const auto logits = Random(12).normals(M * V, 8);
  const std::vector<TokenId> targets = {0, 17, 4999};
  expect_same_in_every_order(
      [&] {
        Output out(M, DType::f32);
        table().log_prob({M, V, logits.data(), targets.data(), out.f32()}, pool);
        return out.values();
      },
      "log_prob");
}

// Segments are handed over in groups: the ones of the second and third must be as right as those of the
// first.
TEST(CudaSegments, MoreThanOneLaunchHolds) {
  const auto segments = short_segments(200);
  const Index M = segments.back().end, N = 32;
  std::vector<std::vector<float>> states(segments.size());
  for (std::size_t s = 0; s < states.size(); s += 3)
    states[s] = Random(static_cast<unsigned>(s)).normals(N * N);
  const Wkv7Problem seven(M, 1, N, Kind::usual, 13);
  const auto got = run_recurrence(table(), seven, segments, states, 1),
             expected = run_recurrence(oracle(), seven, segments, states, 1);
  expect_near(joined(got.y, got.states), joined(expected.y, expected.states), 1e-4, 0, "WKV-7");
  const Wkv6Problem six(M, 1, N, Decay::usual, 14);
  const auto got6 = run_recurrence(table(), six, segments, states, 1),
             expected6 = run_recurrence(oracle(), six, segments, states, 1);
  expect_near(joined(got6.y, got6.states), joined(expected6.y, expected6.states), 1e-4, 0, "WKV-6");
  const Wkv4Problem four(M, 40, Wkv4Kind::usual, 15);
  std::vector<std::vector<float>> states4(segments.size());
  for (std::size_t s = 0; s < states4.size(); s += 3) states4[s] = four.state(static_cast<unsigned>(s));
  const auto got4 = run_recurrence(table(), four, segments, states4, 1),
             expected4 = run_recurrence(oracle(), four, segments, states4, 1);
  expect_near(joined(got4.y, got4.states), joined(expected4.y, expected4.states), 1e-4, 1e-5, "WKV-4");
}

// Which kernel a product meets, and how many rows go with it, must not show.
TEST(CudaProducts, ARowsBitsDoNotDependOnTheOtherRows) {
  Threads pool(1);
  constexpr Index kMost = 66;
  for (const DType type : {DType::f32, DType::bf16, DType::f16}) {
    for (const auto& [N, K] : {std::pair<Index, Index>{20, 300}, {4096, 40}}) {
      const auto w = Random(16).normals(N * K);
      const auto packed = table().pack_matrix({w.data(), DType::f32, N, K, K, 1}, type, pool);
      Output x(Random(17).normals(kMost * K), type);
      const auto product = [&, outputs = N, columns = K](Index first, Index rows) {
        Output y(rows * outputs, DType::f32);
        const auto* from = static_cast<const std::byte*>(x.data()) + first * columns * size_of(type);
        multiply(table(), {rows, from, packed.get(), y.data(), DType::f32, Epilogue::none}, pool);
        return y.values();
      };
      const auto whole = product(0, kMost);
      for (Index M = 1; M <= kMost; M += N > 1000 ? 16 : M < 20 || M > 62 ? 3 : 9) {
        const Index first = (kMost - M) * 7 % (kMost - M + 1);
        const std::vector<float> expected(whole.begin() + first * N, whole.begin() + (first + M) * N);
        ASSERT_TRUE(same_bits(product(first, M), expected))
            << M << " rows from " << first << ", " << name_of(type);
      }
    }
  }
}

}  // namespace
}  // namespace riverrun::kernels
