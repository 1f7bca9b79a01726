// What int8 weights cost in accuracy on the golden models, and that they change nothing else.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/thread_pool.h"
#include "tests/support/forward.h"
#include "tests/support/golden.h"

namespace riverrun {
namespace {

struct Case {
  std::string generation;
  double logit_error;  // root mean square over all tokens and rows, as a share of that of the logits
};

// Measured on either backend, to three digits. The weights are random, and of few channels.
const std::vector<Case> kCases = {
    {"v4", 0.0055},  {"v5.0", 0.0247},      {"v5.1", 0.0117},    {"v5.2", 0.0105},    {"v5.2-n128", 0.0168}, {"v6", 0.0129},
    {"v7", 0.0229},  {"v6-n128", 0.0210},   {"v7-n32", 0.0119},  {"v7-n128", 0.0208}, {"v7a", 0.0317},
};

class Int8WeightsTest : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override { golden_ = test::load_golden(GetParam().generation); }

  std::unique_ptr<model::Model> load(const char* backend, const char* weights) {
    return model::load_model(golden_.model_path, kernels::find_backend(backend), stream_, {"fp32", true, "", weights});
  }

  test::Forward run(const model::Model& model, const std::vector<Index>& cuts) {
    model::State state(model.state_shape());
    std::ranges::copy(model.initial_state().values(), state.values().begin());
    return test::forward(model, golden_.tokens, cuts, state, stream_, true);
  }

  // Of the rows' logits, from the final hidden states and an exact head.
  double logit_error(const test::Forward& out) const {
    const auto head = test::floats_of(golden_.weights->require("head.weight", {golden_.V, golden_.D}));
    double error = 0, all = 0;
    for (Index t = 0; t < golden_.T(); ++t) {
      for (Index v = 0; v < golden_.V; ++v) {
        double logit = 0;
        for (Index d = 0; d < golden_.D; ++d) logit += double(out.hidden[t * golden_.D + d]) * head[v * golden_.D + d];
        const double expected = golden_.logits[t * golden_.V + v];
        error += (logit - expected) * (logit - expected), all += expected * expected;
      }
    }
    return std::sqrt(error / all);
  }

  // Mean natural-log probability of the text.
  double mean_log_prob(const test::Forward& out) const {
    double sum = 0;
    for (const float value : out.log_probs) sum += value;
    return sum / double(out.log_probs.size());
  }

  ThreadPool pool_{2};
  Stream stream_ = host_stream(pool_);
  test::Golden golden_;
};

// Within a quarter of what was measured: less would say that something else was run.
TEST_P(Int8WeightsTest, LogitsAreAsFarFromTheOracleAsMeasured) {
  for (const char* backend : {"reference", "auto"}) {
    const auto model = load(backend, "int8");
    EXPECT_EQ(model->weights(), DType::i8);
    EXPECT_EQ(model->precision(), DType::f32);
    const double error = logit_error(run(*model, {golden_.T()})), measured = GetParam().logit_error;
    EXPECT_LT(error, 1.25 * measured) << backend;
    EXPECT_GT(error, 0.75 * measured) << backend;
  }
}

// The head is int8 too. What one token loses, another gains.
TEST_P(Int8WeightsTest, TheTextIsNearlyAsProbable) {
  const double exact = mean_log_prob(run(*load("auto", "auto"), {golden_.T()}));
  const double found = mean_log_prob(run(*load("auto", "int8"), {golden_.T()}));
  EXPECT_NEAR(found, exact, 0.01);
  EXPECT_NE(found, exact);
}

TEST_P(Int8WeightsTest, CuttingTheDocumentChangesNoBit) {
  const auto model = load("auto", "int8");
  const Index T = golden_.T();
  const auto whole = run(*model, {T});
  for (const auto& cuts : std::vector<std::vector<Index>>{{1, T - 1}, {T - T / 3, T / 3}, {17, 1, 1, T - 19}}) {
    const auto parts = run(*model, cuts);
    ASSERT_EQ(parts.hidden, whole.hidden);
    ASSERT_EQ(parts.log_probs, whole.log_probs);
  }
}

INSTANTIATE_TEST_SUITE_P(All, Int8WeightsTest, testing::ValuesIn(kCases), [](const auto& test) {
  std::string name = test.param.generation;
  std::ranges::replace_if(name, [](char c) { return c == '.' || c == '-'; }, '_');
  return name;
});

}  // namespace
}  // namespace riverrun
