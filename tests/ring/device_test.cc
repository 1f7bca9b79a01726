// What runs on a GPU comes out as on the CPU, and the host keeps off the device's memory: with kernels of the CPU on a device
// that behaves like a GPU, results are the same bytes.

#include <gtest/gtest.h>

#include "generate/decoder.h"
#include "ring/carry_desk.h"
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

// A wait inside a layer would leave a GPU without work.
TEST_P(DeviceTest, TheHostWaitsForBlocksAndNotForLayers) {
  const auto waits = [this](Index layers) {
    auto shape = test::small_shape(GetParam());
    shape.layers = layers;
    const auto model = test::make_small_model(device_, "fp32", shape);
    test::RingRun run;
    run.request = test::everything();
    run.ranks = 2;
    const Index before = test::deferred_waits();
    (void)test::run_corpus({test::random_tokens(300, 1)}, *model, device_, run);
    return test::deferred_waits() - before;
  };
  EXPECT_EQ(waits(2), waits(5));
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

// The host goes on, and sends a message when the launches before its mark are done, not before and no later than it is asked to.
TEST(CarryDesk, SendsAMessageWhenItIsWritten) {
  const kernels::KernelTable& table = test::deferred(kernels::find_backend("auto"));
  const auto model = test::make_small_model(table, "fp32");
  const plan::Plan plan = test::plan_corpus({test::random_tokens(128, 1)}, *model, 2, 64);
  const ring::CarryLayout layout(model->state_shape(), 0, DeviceKind::cuda);
  const Index first = layout.state(0, 0), second = layout.channel_row(0);
  transport::run_ranks("threads", {2}, [&](transport::Transport& transport) {
    ThreadPool pool(1);
    const OwnStream own(*table.device, pool);
    const Stream stream = own;
    ring::WaitClock waits;
    ring::CarryDesk desk(plan, layout, transport, stream, std::chrono::seconds(60), 1, waits, {}, {});
    if (transport.rank() == 1) {
      const ring::Carry* const carry = desk.open_incoming(1);
      for (Index message = 0; message < layout.messages(); ++message) {
        if (layout.payload_bytes(message) > 0) desk.await(1, message);
      }
      EXPECT_EQ(carry->floats(first)[0], 1 + 5 * 4);
      EXPECT_EQ(carry->floats(second)[0], 1 + 2 * 4);
      desk.close_incoming(1);
      return 0;
    }
    const ring::Carry* const carry = desk.open_outgoing(0);
    const Array<float> two(1, *table.device, Memory::shared);
    two[0] = 2, carry->floats(first)[0] = carry->floats(second)[0] = 1;
    const auto launch = [&](Index message) { table.gate_add({1, 1, two.data(), two.data(), carry->floats(message)}, stream); };
    for (int i = 0; i < 5; ++i) launch(first);
    desk.ready(0, first);
    for (int i = 0; i < 2; ++i) launch(second);
    desk.ready(0, second);
    desk.send_written(2);
    EXPECT_EQ(desk.bytes_sent(), 0) << "before it was written";
    desk.send_written(1);
    const Index first_bytes = desk.bytes_sent();
    EXPECT_GT(first_bytes, layout.payload_bytes(first));
    EXPECT_LT(carry->floats(second)[0], 1 + 2 * 4) << "is still to be computed";
    desk.send_written(0);
    EXPECT_GT(desk.bytes_sent() - first_bytes, layout.payload_bytes(second));
    for (Index message = 0; message < layout.messages(); ++message) {
      if (message != first && message != second && layout.payload_bytes(message) > 0) desk.ready(0, message);
    }
    desk.close_outgoing(0);
    desk.drain();
    return 0;
  });
}

}  // namespace
}  // namespace riverrun
