// What runs on a GPU comes out as on the CPU, and the host keeps off the device's memory: with kernels of the CPU on a device
// that behaves like a GPU, results are the same bytes.

#include <gtest/gtest.h>

#include "generate/decoder.h"
#include "tests/support/deferred_kernels.h"
#include "tests/support/ring_corpus.h"
#include "tests/support/small_model.h"

namespace riverrun {
namespace {

test::Corpus corpus() { return test::random_corpus({1, 64, 65, 130, 300, 2, 30, 200}); }

class DeviceTest : public testing::TestWithParam<const char*> {
 protected:
  const kernels::KernelTable& host_ = kernels::find_backend("auto");
  const kernels::KernelTable& device_ = test::deferred(host_);
  std::unique_ptr<model::Model> on_host_ = test::make_small_model(host_, "fp32", test::small_shape(GetParam()));
  std::unique_ptr<model::Model> on_device_ = test::make_small_model(device_, "fp32", test::small_shape(GetParam()));
};

// Everything with either pooling; and nothing but states, which no other output makes the host wait for.
std::vector<ring::Request> requests() {
  ring::Request states;
  states.states = true;
  return {test::everything(ring::Pool::mean), test::everything(ring::Pool::last), states};
}

TEST_P(DeviceTest, TheRingGivesTheSameBytes) {
  test::RingRun run;
  for (const ring::Request& request : requests()) {
    run.request = request;
    for (const int ranks : {1, 3}) {
      run.ranks = ranks;
      const auto expected = test::run_corpus(corpus(), *on_host_, host_, run);
      const auto found = test::run_corpus(corpus(), *on_device_, device_, run);
      expect_same_bits(found, expected, concat(ranks, " ranks"));
    }
  }
}

TEST_P(DeviceTest, TheDecoderWritesTheSameTexts) {
  const auto texts = [](const model::Model& model) {
    ThreadPool pool(2);
    const OwnStream stream(model.device(), pool);
    generate::Settings settings;
    settings.sampling.temperature = 1;
    settings.end.max_tokens = 6;
    generate::Decoder decoder(model, settings, [](TokenId token) { return concat("<", token, ">"); }, 2, stream);
    for (Index number = 0; number < 5; ++number) {
      auto state = std::make_unique<model::State>(model.make_state());
      std::ranges::copy(model.initial_state().values(), state->values().begin());
      decoder.add({number, std::move(state), test::random_tokens(3 + number, unsigned(number)),
                   generate::Draws(0, generate::document_key(""), number)});
    }
    std::vector<generate::Text> finished;
    while (decoder.waiting() + decoder.writing() > 0) decoder.step(finished);
    std::ranges::sort(finished, {}, &generate::Text::number);
    return finished;
  };
  const auto expected = texts(*on_host_), found = texts(*on_device_);
  ASSERT_EQ(found.size(), 5u);
  for (std::size_t i = 0; i < found.size(); ++i) EXPECT_EQ(found[i].tokens, expected[i].tokens) << "text " << i;
}

INSTANTIATE_TEST_SUITE_P(All, DeviceTest, testing::Values("rwkv4", "rwkv5.0", "rwkv5.2", "rwkv6", "rwkv7", "rwkv7a"),
                         [](const auto& tested) {
                           std::string name = tested.param;
                           std::erase(name, '.');
                           return name;
                         });

// The device notices what it is there for.
TEST(DeferredDevice, KeepsTheHostOutOfItsMemory) {
  const kernels::KernelTable& table = test::deferred(kernels::find_backend("auto"));
  const Array<float> values(4, *table.device);
  EXPECT_DEATH(values[0] = 1, "");
}

TEST(DeferredDevice, RunsKernelsWhenTheirStreamIsSynchronised) {
  const kernels::KernelTable& table = test::deferred(kernels::find_backend("auto"));
  ThreadPool pool(1);
  const OwnStream own(*table.device, pool);
  const Stream stream = own;
  const Array<float> a(1, *table.device, Memory::shared), x(1, *table.device, Memory::shared);
  a[0] = 2, x[0] = 1;
  table.gate_add({1, 1, a.data(), a.data(), x.data()}, stream);
  EXPECT_EQ(x[0], 1);
  stream.synchronize();
  EXPECT_EQ(x[0], 5);
}

}  // namespace
}  // namespace riverrun
