// A model's numbers agree with an independent implementation, and do not change with where a document is cut.

#include <gtest/gtest.h>

#include <cmath>

#include "core/error.h"
#include "tests/support/forward.h"
#include "tests/support/golden.h"

namespace riverrun {
namespace {

using test::Golden;

struct Case {
  const char* generation;
  const char* backend;
  const char* precision;
  double logit_tolerance;  // of the largest logit
};

std::ostream& operator<<(std::ostream& out, const Case& c) { return out << c.generation << " " << c.backend << " " << c.precision; }

class GoldenTest : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    for (const auto& backend : kernels::known_backends()) {
      if (std::string(backend.name) == GetParam().backend && !backend.table) GTEST_SKIP() << backend.how_to_build;
    }
    const auto& table = kernels::find_backend(GetParam().backend);
    if (!table.multiplies(std::string(GetParam().precision) == "bf16" ? DType::bf16 : DType::f32)) {
      GTEST_SKIP() << "this machine does not multiply " << GetParam().precision;
    }
    golden_ = test::load_golden(GetParam().generation);
    model_ = model::load_model(golden_.model_path, table, stream_, {GetParam().precision, true});
  }

  test::Forward run(const std::vector<Index>& cuts, model::State& state) {
    return test::forward(*model_, golden_.tokens, cuts, state, stream_, true);
  }

  ThreadPool pool_{2};
  Stream stream_{DeviceKind::cpu, &pool_, nullptr};
  Golden golden_;
  std::unique_ptr<model::Model> model_;
};

TEST_P(GoldenTest, LogitsAgreeWithTheOracle) {
  model::State state(model_->state_shape());
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

TEST_P(GoldenTest, StatesAgreeWithTheOracle) {
  model::State state(model_->state_shape());
  run({golden_.T()}, state);
  const auto shape = model_->state_shape();
  const double tolerance = GetParam().logit_tolerance * 5;  // fp32: 1e-4 of the largest
  const auto compare = [&](const float* found, const std::vector<float>& expected, const char* what, Index layer) {
    double largest = 0;
    for (const float value : expected) largest = std::max<double>(largest, std::abs(value));
    for (std::size_t i = 0; i < expected.size(); ++i) {
      ASSERT_NEAR(found[i], expected[i], tolerance * largest) << what << " of layer " << layer << ", element " << i;
    }
  };
  for (Index layer = 0; layer < shape.layers; ++layer) {
    compare(state.time_row(layer), golden_.state[3 * layer], "time-mix row", layer);
    compare(state.parts(layer), golden_.state[3 * layer + 1], "state", layer);
    compare(state.channel_row(layer), golden_.state[3 * layer + 2], "channel-mix row", layer);
  }
}

TEST_P(GoldenTest, CuttingTheDocumentChangesNoBit) {
  model::State whole_state(model_->state_shape());
  const auto whole = run({golden_.T()}, whole_state);
  for (const std::vector<Index>& cuts : std::vector<std::vector<Index>>{{1, 95}, {95, 1}, {64, 32}, {17, 1, 1, 77}, {48, 48}}) {
    model::State state(model_->state_shape());
    const auto parts = run(cuts, state);
    ASSERT_EQ(parts.hidden, whole.hidden);
    ASSERT_EQ(parts.log_probs, whole.log_probs);
    ASSERT_TRUE(std::equal(state.values().begin(), state.values().end(), whole_state.values().begin()));
  }
}

TEST_P(GoldenTest, TheFirstLayersRowFollowsFromTheTokenId) {
  model::State state(model_->state_shape());
  run({golden_.T()}, state);
  const auto workspace = model_->make_workspace(1, stream_);
  std::vector<float> row(golden_.D);
  model_->first_layer_row(*workspace, golden_.tokens.back(), row.data());
  EXPECT_TRUE(std::equal(row.begin(), row.end(), state.time_row(0)));
}

INSTANTIATE_TEST_SUITE_P(All, GoldenTest,
                         testing::Values(Case{"v7", "reference", "fp32", 2e-5}, Case{"v7", "cpu", "fp32", 2e-5},
                                         Case{"v7", "reference", "bf16", 2e-2}, Case{"v7", "cpu", "bf16", 2e-2}),
                         [](const auto& test) {
                           return std::string(test.param.generation) + "_" + test.param.backend + "_" + test.param.precision;
                         });

}  // namespace
}  // namespace riverrun
