// Steps of a batch that are recorded and run again give the bytes of launches one by one, in batches of any size. On a GPU, and
// on the emulator where there is none.

#include "generate/batch_steps.h"

#include <gtest/gtest.h>

#include "tests/support/backends.h"
#include "tests/support/small_model.h"

namespace riverrun::generate {
namespace {

class BatchStepsTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    ASSERT_NE(kernels_, nullptr);
    kernels_->device->require(0);
    auto shape = test::small_shape(GetParam());
    shape.layers = 2;
    model_ = test::make_small_model(*kernels_, "fp32", shape);
  }

  // All logits, and all states at the end, of steps over so many of the texts.
  std::vector<float> run(const std::vector<Index>& batches, bool by_batch_steps) const {
    ThreadPool pool(1);
    const OwnStream own(model_->device(), pool);
    const Stream stream = own;
    const Index most = *std::ranges::max_element(batches), V = model_->config().vocab;
    const auto workspace = model_->make_workspace(most, stream, kernels::Phase::decode);
    const Array<float> logits(most * V, model_->device(), Memory::shared);
    std::vector<std::unique_ptr<model::State>> states(static_cast<std::size_t>(most));
    std::vector<model::State*> pointers;
    std::vector<kernels::Segment> segments;
    for (auto& state : states) {
      auto initial = std::make_unique<model::State>(model_->make_state());
      std::ranges::copy(model_->initial_state().values(), initial->values().begin());
      model::move_state(*model_, initial, state, stream);
      pointers.push_back(state.get());
      segments.push_back({std::ssize(segments), std::ssize(segments) + 1});
    }
    const auto read_out = [&](Index rows) { model_->logits(*workspace, 0, rows, logits.data()); };
    BatchSteps steps(*model_, *workspace, read_out, stream);
    std::vector<float> all;
    for (const Index batch : batches) {
      const auto ids = test::random_tokens(batch, unsigned(all.size()));
      const auto used = std::span(pointers).first(ids.size());
      if (by_batch_steps) {
        steps.launch(ids, used);
      } else {
        model_->start(*workspace, ids, std::span(segments).first(ids.size()));
        model::run_layers(*model_, *workspace, used);
        read_out(batch);
      }
      stream.synchronize();
      all.insert(all.end(), logits.data(), logits.data() + batch * V);
    }
    std::vector<float> values(states[0]->values().size());
    for (const auto& state : states) {
      model_->device().copy(values.data(), state->values().data(), std::ssize(values) * Index{sizeof(float)}, stream);
      all.insert(all.end(), values.begin(), values.end());
    }
    return all;
  }

  const kernels::KernelTable* kernels_ = test::backend(RIVERRUN_TEST_BACKENDS);
  std::unique_ptr<model::Model> model_;
};

TEST_P(BatchStepsTest, GiveTheBytesOfLaunchesOneByOne) {
  const std::vector<Index> batches = {2, 2, 2, 1, 1, 3, 2, 3, 3, 1, 2, 1, 3, 2};
  const auto expected = run(batches, false), found = run(batches, true);
  ASSERT_EQ(found.size(), expected.size());
  EXPECT_EQ(std::memcmp(found.data(), expected.data(), found.size() * sizeof(float)), 0);
}

INSTANTIATE_TEST_SUITE_P(All, BatchStepsTest, testing::Values("rwkv4", "rwkv5.0", "rwkv5.1", "rwkv5.2", "rwkv6", "rwkv7", "rwkv7a"),
                         [](const auto& tested) {
                           std::string name = tested.param;
                           std::erase(name, '.');
                           return name;
                         });

}  // namespace
}  // namespace riverrun::generate
