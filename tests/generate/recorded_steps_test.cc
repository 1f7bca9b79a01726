// What is recorded, when, and for how long: on the CUDA emulator, whose streams record launches as a GPU's do.

#include <gtest/gtest.h>

#include "core/error.h"
#include "cuda_emulator/backend.h"
#include "cuda_emulator/device.h"
#include "generate/decoder.h"
#include "tests/support/small_model.h"

namespace riverrun::generate {
namespace {

checkpoint::RandomModelShape tiny(const std::string& generation) {
  auto shape = test::small_shape(generation);
  shape.layers = 2, shape.channels = 64;
  return shape;
}

class RecordedStepsTest : public testing::TestWithParam<const char*> {
 protected:
  ~RecordedStepsTest() override { cuda_emulator::allow_recording(true); }

  const kernels::KernelTable& kernels_ = cuda_emulator::table();
  Device& device_ = *kernels_.device;
  ThreadPool pool_{1};
  OwnStream stream_{device_, pool_};
  std::unique_ptr<model::Model> model_ = test::make_small_model(kernels_, "fp32", tiny(GetParam()));
};

// More texts than slots, so that slots are filled again, with prompts beside texts; and in the end fewer and fewer.
TEST_P(RecordedStepsTest, TheDecoderWritesTheSameTexts) {
  const auto texts = [&] {
    Settings settings;
    settings.sampling.temperature = 1;
    settings.end.max_tokens = 9;
    settings.banned = {3, 200};
    Decoder decoder(*model_, settings, [](TokenId token) { return concat("<", token, ">"); }, 3, stream_);
    for (Index number = 0; number < 6; ++number) {
      auto state = std::make_unique<model::State>(model_->make_state());
      std::ranges::copy(model_->initial_state().values(), state->values().begin());
      decoder.add({number, std::move(state), test::random_tokens(1 + 2 * number, unsigned(number)), Draws(0, document_key(""), number)});
    }
    std::vector<Text> finished;
    while (decoder.waiting() + decoder.writing() > 0) decoder.step(finished);
    std::ranges::sort(finished, {}, &Text::number);
    return finished;
  };
  cuda_emulator::allow_recording(false);
  const auto expected = texts();
  cuda_emulator::allow_recording(true);
  const Index before = cuda_emulator::recordings().run;
  const auto found = texts();
  EXPECT_GE(cuda_emulator::recordings().run - before, 5);
  ASSERT_EQ(found.size(), 6u);
  for (std::size_t i = 0; i < found.size(); ++i) EXPECT_EQ(found[i].tokens, expected[i].tokens) << "text " << i;
}

INSTANTIATE_TEST_SUITE_P(All, RecordedStepsTest,
                         testing::Values("rwkv4", "rwkv5.0", "rwkv5.1", "rwkv5.2", "rwkv6", "rwkv7", "rwkv7a"), [](const auto& tested) {
                           std::string name = tested.param;
                           std::erase(name, '.');
                           return name;
                         });

class RecordingTest : public RecordedStepsTest {};
INSTANTIATE_TEST_SUITE_P(One, RecordingTest, testing::Values("rwkv4"), [](const auto& tested) { return std::string(tested.param); });

// A BatchSteps over so many states, which counts what is recorded and run.
class Steps {
 public:
  Steps(const model::Model& model, Index most, Stream stream)
      : workspace_(model.make_workspace(most, stream, kernels::Phase::decode)), logits_(most * model.config().vocab, model.device()),
        steps_(model, *workspace_, [this, &model](Index rows) { model.logits(*workspace_, 0, rows, logits_.data()); }, stream) {
    for (Index i = 0; i < most; ++i) {
      states_.push_back(std::make_unique<model::State>(model.make_state()));
      pointers_.push_back(states_.back().get());
    }
  }
  void launch(Index batch) { steps_.launch(test::random_tokens(batch, 1), std::span(pointers_).first(static_cast<std::size_t>(batch))); }
  Index made() const { return cuda_emulator::recordings().made - before_.made; }
  Index run() const { return cuda_emulator::recordings().run - before_.run; }
  Index kept() const { return cuda_emulator::recordings().kept - before_.kept; }

 private:
  const cuda_emulator::Recordings before_ = cuda_emulator::recordings();
  std::unique_ptr<model::Workspace> workspace_;
  Array<float> logits_;
  std::vector<std::unique_ptr<model::State>> states_;
  std::vector<model::State*> pointers_;
  BatchSteps steps_;
};

TEST_P(RecordingTest, AllButTheFirstStepsOfASizeRunAsOne) {
  const Index before = cuda_emulator::recordings().kept;
  {
    Steps steps(*model_, 3, stream_);
    for (const Index batch : {2, 2, 2, 1, 1, 3, 2, 3, 3, 1, 2}) steps.launch(batch);
    EXPECT_EQ(steps.made(), 3);
    EXPECT_EQ(steps.run(), 11 - 3 * kLaunchesBeforeRecording);
  }
  EXPECT_EQ(cuda_emulator::recordings().kept, before);
}

TEST_P(RecordingTest, TheStepsThatWereNotUsedForLongestAreForgotten) {
  constexpr Index kSizes = kMostKindsOfSteps + 4;
  Steps steps(*model_, kSizes, stream_);
  for (Index batch = 1; batch <= kSizes; ++batch) {
    for (int time = 0; time < 3; ++time) steps.launch(batch);
    EXPECT_EQ(steps.kept(), std::min(batch, kMostKindsOfSteps));
  }
  EXPECT_EQ(steps.made(), kSizes);
  steps.launch(kSizes);
  EXPECT_EQ(steps.made(), kSizes) << "the last one is still there";
  for (int time = 0; time < 3; ++time) steps.launch(1);
  EXPECT_EQ(steps.made(), kSizes + 1) << "a forgotten one is recorded again";
}

// What a GPU could not capture, or would capture wrongly, is an error, and the stream works on after it.
TEST_P(RecordingTest, WaitsCopiesAndMemoryAreNoLaunches) {
  const Stream stream = stream_;
  const Array<float> a(4, device_, Memory::shared), x(4, device_, Memory::shared);
  for (Index i = 0; i < 4; ++i) a[i] = 2, x[i] = 1;
  const auto launch = [&] { kernels_.gate_add({1, 4, a.data(), a.data(), x.data()}, stream); };
  for (const std::function<void()>& wrong : std::vector<std::function<void()>>{
           [&] { stream.synchronize(); },
           [&] { device_.copy(x.data(), a.data(), 4, stream); },
           [&] { const Array<float> more(4, device_); },
           [&] { (void)device_.record(stream, launch); },
       }) {
    EXPECT_THROW((void)device_.record(stream, [&] { launch(), wrong(); }), Error);
    EXPECT_EQ(x[0], 1) << "a launch was run while it was recorded";
  }
  const auto recording = device_.record(stream, launch);
  EXPECT_EQ(x[0], 1);
  for (int run = 1; run <= 2; ++run) {
    recording->run(stream);
    EXPECT_GT(x[0], 1 + run);
  }
  const float before = x[0];
  launch();
  EXPECT_GT(x[0], before);
}

}  // namespace
}  // namespace riverrun::generate
