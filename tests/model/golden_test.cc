// A model's numbers agree with an independent implementation, and do not change with where a document is cut.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "core/error.h"
#include "core/thread_pool.h"
#include "tests/support/backends.h"
#include "tests/support/forward.h"
#include "tests/support/golden.h"

namespace riverrun {
namespace {

using test::Golden;

struct Case {
  std::string generation, backend, precision;
  double logit_tolerance;  // of the largest logit
  kernels::Phase phase = kernels::Phase::prefill;
};

// Folders of tests/golden.
const std::vector<std::string> kGenerations = {
    "v4", "v5.0", "v5.0-faaaa", "v5.1", "v5.1-n8", "v5.2", "v5.2-n8-tuned", "v5.2-n32", "v5.2-n128",
    "v6", "v6-n8-tuned", "v6-n32", "v6-n128", "v7", "v7-n8-tuned", "v7-n32", "v7-n128", "v7a"};

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const auto& generation : kGenerations) {
    for (const char* backend : {RIVERRUN_TEST_BACKENDS}) {
      cases.push_back({generation, backend, "fp32", 2e-5});
      cases.push_back({generation, backend, "bf16", 2e-2});
#if RIVERRUN_TEST_CUDA
      // The emulator is slow, and RWKV-7 has every kind of product.
      if (backend == std::string("cuda_emulated") && generation != "v7") continue;
      cases.push_back({generation, backend, "fp16", 2e-2});
      // Other kernels than those of long blocks; a CPU has the same for both.
      cases.push_back({generation, backend, "fp32", 2e-5, kernels::Phase::decode});
      for (const char* precision : {"bf16", "fp16"}) cases.push_back({generation, backend, precision, 2e-2, kernels::Phase::decode});
#endif
    }
  }
  return cases;
}

std::ostream& operator<<(std::ostream& out, const Case& c) {
  return out << c.generation << " " << c.backend << " " << c.precision << (c.phase == kernels::Phase::decode ? " decode" : "");
}

class GoldenTest : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    const auto* const found = test::backend(GetParam().backend);
    if (found == nullptr) GTEST_SKIP() << GetParam().backend << " is not in this build";
    const auto& table = *found;
    table.device->require(0);
    if (!table.multiplies(GetParam().precision == "bf16" ? DType::bf16 : GetParam().precision == "fp16" ? DType::f16 : DType::f32)) {
      GTEST_SKIP() << "this machine does not multiply " << GetParam().precision;
    }
    golden_ = test::load_golden(GetParam().generation);
    stream_.emplace(*table.device, pool_);
    model_ = model::load_model(golden_.model_path, table, *stream_, {GetParam().precision, true, ""});
  }

  test::Forward run(const std::vector<Index>& cuts, model::State& state) {
    return test::forward(*model_, golden_.tokens, cuts, state, *stream_, true, GetParam().phase);
  }

  model::State initial_state() const {
    model::State state = model_->make_state();
    std::ranges::copy(model_->initial_state().values(), state.values().begin());
    return state;
  }

  template <class Found>
  void compare(const std::vector<float>& expected, const char* what, Index layer, Found found) const {
    const double tolerance = GetParam().logit_tolerance * 5;  // fp32: 1e-4 of the largest
    double largest = 0;
    for (const float value : expected) largest = std::max<double>(largest, std::abs(value));
    for (std::size_t i = 0; i < expected.size(); ++i) {
      ASSERT_NEAR(found(static_cast<Index>(i)), expected[i], tolerance * largest) << what << " of layer " << layer << ", element " << i;
    }
  }

  ThreadPool pool_{2};
  std::optional<OwnStream> stream_;
  Golden golden_;
  std::unique_ptr<model::Model> model_;
};

TEST_P(GoldenTest, LogitsAgreeWithTheOracle) {
  model::State state = initial_state();
  const auto out = run({golden_.T()}, state);
  const auto head = test::floats_of(golden_.weights->require("head.weight", {golden_.V, golden_.D}));
  const double tolerance = GetParam().logit_tolerance * golden_.largest_logit();
  for (Index t = 0; t < golden_.T(); ++t) {
    for (Index v = 0; v < golden_.V; ++v) {
      double logit = 0;
      for (Index d = 0; d < golden_.D; ++d) logit += double(out.hidden[t * golden_.D + d]) * head[v * golden_.D + d];
      ASSERT_NEAR(logit, golden_.logits[t * golden_.V + v], tolerance) << "token " << t << ", row " << v;
    }
    if (t + 1 < golden_.T()) {
      ASSERT_NEAR(out.log_probs[t], golden_.log_prob(t), 2 * tolerance) << "token " << t;
    }
  }
}

// The oracle lists, layer by layer, the time-mix row, the state, the channel-mix row; RWKV-4's state is three lists, and
// RWKV-5's and 6's is [head][key][value].
TEST_P(GoldenTest, StatesAgreeWithTheOracle) {
  model::State state = initial_state();
  run({golden_.T()}, state);
  const auto shape = model_->state_shape();
  const Index N = model_->config().head_size;
  const auto& generation = model_->config().generation;
  const bool v4 = generation == "rwkv4", keys_first = generation[4] == '5' || generation[4] == '6';
  const Index entries = v4 ? 5 : 3;
  ASSERT_EQ(static_cast<Index>(golden_.state.size()), entries * shape.layers);
  for (Index layer = 0; layer < shape.layers; ++layer) {
    const auto* const expected = golden_.state.data() + entries * layer;
    const float* const parts = state.parts(layer);
    compare(expected[0], "time-mix row", layer, [&](Index i) { return state.time_row(layer)[i]; });
    for (Index entry = 1; v4 && entry < 4; ++entry) {
      compare(expected[entry], "state", layer, [&](Index i) { return parts[3 * i + entry - 1]; });
    }
    if (!v4) {
      compare(expected[1], "state", layer, [&](Index i) {
        const Index head = i / (N * N), row = i / N % N, col = i % N;
        return parts[keys_first ? (head * N + col) * N + row : i];
      });
    }
    compare(expected[entries - 1], "channel-mix row", layer, [&](Index i) { return state.channel_row(layer)[i]; });
  }
}

// On a GPU it may: there the cuts depend on the document and the block size alone.
class CutTest : public GoldenTest {};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(CutTest);

TEST_P(CutTest, CuttingTheDocumentChangesNoBit) {
  model::State whole_state = initial_state();
  const auto whole = run({golden_.T()}, whole_state);
  const Index T = golden_.T();
  for (const std::vector<Index>& cuts :
       std::vector<std::vector<Index>>{{1, T - 1}, {T - 1, 1}, {T - T / 3, T / 3}, {17, 1, 1, T - 19}, {T / 2, T - T / 2}}) {
    model::State state = initial_state();
    const auto parts = run(cuts, state);
    ASSERT_EQ(parts.hidden, whole.hidden);
    ASSERT_EQ(parts.log_probs, whole.log_probs);
    ASSERT_TRUE(std::equal(state.values().begin(), state.values().end(), whole_state.values().begin()));
  }
}

TEST_P(GoldenTest, TheFirstLayersRowFollowsFromTheTokenId) {
  model::State state = initial_state();
  run({golden_.T()}, state);
  const auto workspace = model_->make_workspace(1, *stream_);
  const Array<float> row(golden_.D, model_->device(), Memory::shared);
  model_->first_layer_row(*workspace, golden_.tokens.back(), row.data());
  Stream(*stream_).synchronize();
  EXPECT_TRUE(std::ranges::equal(row.span(), std::span(state.time_row(0), row.span().size())));
}

std::string name_of_case(const testing::TestParamInfo<Case>& test) {
  std::string name = test.param.generation + "_" + test.param.backend + "_" + test.param.precision;
  if (test.param.phase == kernels::Phase::decode) name += "_decode";
  std::ranges::replace_if(name, [](char c) { return c == '.' || c == '-'; }, '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(All, GoldenTest, testing::ValuesIn(all_cases()), name_of_case);
#if !RIVERRUN_TEST_CUDA
INSTANTIATE_TEST_SUITE_P(All, CutTest, testing::ValuesIn(all_cases()), name_of_case);
#endif

}  // namespace
}  // namespace riverrun
