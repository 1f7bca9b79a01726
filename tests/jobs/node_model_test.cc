// Ranks of a node share weights where these lie in the host's memory, and each GPU packs its own.

#include "jobs/run/node_model.h"

#include <gtest/gtest.h>

#include <atomic>

#include "core/error.h"
#include "tests/support/small_model.h"

namespace riverrun::jobs {
namespace {

// How many of two ranks were given weights that the other has packed.
int followers(DeviceKind device, ShareWeights share) {
  std::atomic<int> filled = 0;
  const std::string path = concat("node_model_", ::getpid(), ".safetensors");
  checkpoint::write_random_model(path, test::small_shape());
  transport::run_ranks("threads", {2}, [&](transport::Transport& transport) {
    const auto& kernels = kernels::find_backend("cpu");
    ThreadPool pool(1);
    const OwnStream stream(*kernels.device, pool);
    const auto load = [&](WeightStorage& storage) {
      filled += storage.filled();
      return model::load_model(path, kernels, stream, {"fp32", true, "", "auto", &storage});
    };
    load_node_model({share, device, "the same", load, {}, [](const model::Model&) {}, std::chrono::seconds(30)}, transport);
    return 0;
  });
  std::remove(path.c_str());
  return filled;
}

TEST(NodeModel, RanksOfANodeShareMemoryOfTheHostOnly) {
  EXPECT_EQ(followers(DeviceKind::cpu, ShareWeights::automatic), 1);
  EXPECT_EQ(followers(DeviceKind::cpu, ShareWeights::off), 0);
  EXPECT_EQ(followers(DeviceKind::cuda, ShareWeights::automatic), 0);
  EXPECT_THROW(followers(DeviceKind::cuda, ShareWeights::on), InputError);
}

}  // namespace
}  // namespace riverrun::jobs
