// What a job is said to take of a GPU's memory (model/device_memory.h) is what it takes: counted by the CUDA emulator's device.

#include <gtest/gtest.h>

#include <limits>

#include "core/error.h"
#include "cuda_emulator/backend.h"
#include "cuda_emulator/device.h"
#include "generate/decoder.h"
#include "tests/support/ring_corpus.h"
#include "tests/support/small_model.h"

namespace riverrun {
namespace {

constexpr Index kBlock = 48;
constexpr double kMargin = 0.01;  // of what is taken

// Inner sizes as released models have them: rows of weights are padded to 32 columns.
checkpoint::RandomModelShape shape_of(const std::string& generation) {
  auto shape = test::small_shape(generation);
  shape.layers = 2;
  shape.rank_w = shape.rank_a = shape.rank_v = shape.rank_g = shape.rank_shift = shape.rank_embed = 32;
  return shape;
}

class DeviceMemoryTest : public testing::TestWithParam<const char*> {
 protected:
  // What is on the device beyond what was there before: at most since the last call, and by the estimate.
  void expect_near(Index estimate, const char* what) {
    const double taken = static_cast<double>(cuda_emulator::memory_use(Memory::device).most - before_);
    EXPECT_NEAR(static_cast<double>(estimate), taken, kMargin * taken) << what;
    cuda_emulator::forget_most_memory();
  }

  const kernels::KernelTable& kernels_ = cuda_emulator::table();
  const Index before_ = (cuda_emulator::forget_most_memory(), cuda_emulator::memory_use(Memory::device).now);
};

TEST_P(DeviceMemoryTest, IsWhatWasSaid) {
  const auto model = test::make_small_model(kernels_, "fp32", shape_of(GetParam()));
  const auto said = [&](const model::Use& use) { return model::device_memory(model->config(), DType::f32, DType::f32, true, use); };
  expect_near(said({}).weights, "weights");

  const auto read = [&](bool means, bool scores) {
    test::RingRun run;
    run.block_tokens = kBlock;
    run.request.scores = scores;
    run.request.embedding = true;
    run.request.pool = means ? ring::Pool::mean : ring::Pool::last;
    test::run_corpus({test::random_tokens(kBlock + 3, 1)}, *model, kernels_, run);
    const auto memory = said({.block_tokens = kBlock, .means = means, .scores = scores});
    expect_near(memory.weights + memory.reading + kBlock * memory.reading_token, means ? "means" : "scores");
  };
  read(true, false);
  read(false, true);

  constexpr Index kTexts = 3;
  ThreadPool pool(1);
  const OwnStream stream(*kernels_.device, pool);
  generate::Settings settings;
  settings.end.max_tokens = 2;
  generate::Decoder decoder(*model, settings, [](TokenId) { return std::string("x"); }, kTexts, stream);
  for (Index number = 0; number < kTexts; ++number) {
    decoder.add({number, std::make_unique<model::State>(model->make_state()), {1, 2}, generate::Draws(0, 0, number)});
  }
  std::vector<generate::Text> finished;
  while (decoder.waiting() + decoder.writing() > 0) decoder.step(finished);
  const auto memory = said({.texts = kTexts, .text_rows = kTexts + generate::kPromptRows});
  expect_near(memory.weights + memory.writing, "texts");
}

TEST_P(DeviceMemoryTest, RanksShareTheWeightsAlone) {
  const auto model = test::make_small_model(kernels_, "fp32", shape_of(GetParam()));
  const auto said = [&](Index ranks) {
    return model::device_memory(model->config(), DType::f32, DType::f32, false, {.block_tokens = kBlock, .texts = 2, .text_rows = 2, .ranks = ranks});
  };
  const auto one = said(1), three = said(3);
  EXPECT_EQ(three.weights, one.weights);
  EXPECT_EQ(three.reading_token, 3 * one.reading_token);
  EXPECT_EQ(three.writing, 3 * one.writing);
}

INSTANTIATE_TEST_SUITE_P(All, DeviceMemoryTest, testing::Values("rwkv4", "rwkv5.0", "rwkv5.1", "rwkv5.2", "rwkv6", "rwkv7", "rwkv7a"),
                         [](const auto& tested) {
                           std::string name = tested.param;
                           std::erase(name, '.');
                           return name;
                         });

// Before a weight is loaded, with what it would need and what there is.
TEST(DeviceMemory, AJobThatDoesNotFitIsRefused) {
  const auto& kernels = cuda_emulator::table();
  const Index before = cuda_emulator::memory_use(Memory::device).now;
  cuda_emulator::forget_most_memory();
  cuda_emulator::set_free_bytes(Index{100} << 20);
  const std::string path = concat("device_memory_", ::getpid(), ".safetensors");
  checkpoint::write_random_model(path, shape_of("rwkv7"));
  ThreadPool pool(1);
  const OwnStream stream(*kernels.device, pool);
  try {
    (void)model::load_model(path, kernels, stream, {"fp32", true, ""});
    ADD_FAILURE() << "loaded";
  } catch (const InputError& error) {
    const std::string message = error.what();
    for (const char* part : {"of the GPU's memory, of which 100 MiB are free", "MiB for weights", "--block-tokens"}) {
      EXPECT_NE(message.find(part), std::string::npos) << message;
    }
  }
  std::remove(path.c_str());
  cuda_emulator::set_free_bytes(std::numeric_limits<Index>::max());
  EXPECT_EQ(cuda_emulator::memory_use(Memory::device).most, before);
}

}  // namespace
}  // namespace riverrun
