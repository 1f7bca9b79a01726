// Random models have the official names and shapes, and the statistics that they promise.
#include <cmath>

#include "checkpoint/random_model.h"
#include "support.h"

namespace riverrun::checkpoint {
namespace {

RandomModelShape small() {
  return {.layers = 3, .channels = 128, .vocab = 271, .rank_w = 48, .rank_a = 40, .rank_v = 24, .rank_g = 72};
}

struct Open {
  explicit Open(const RandomModelShape& shape) {
    write_random_model(file.path(), shape);
    model = open_checkpoint(file.path());
  }
  TemporaryFile file;
  std::unique_ptr<Checkpoint> model;
};

std::vector<Index> without_ones(std::vector<Index> shape) {
  std::erase(shape, 1);
  return shape;
}

TEST(RandomModel, NamesAndShapesAreThoseOfAnOfficialModel) {
  for (const char* folder : {"v4", "v5.0", "v5.1", "v5.2", "v6", "v7"}) {
    RandomModelShape shape = small();
    shape.generation = std::string("rwk") + folder;
    if (shape.generation == "rwkv6") shape.rank_w = 64;
    const auto official = open_checkpoint(golden(std::string(folder) + "/model.pth"));
    shape.ffn = official->require("blocks.0.ffn.key.weight", {-1, -1}).shape[0];
    const Open random(shape);
    EXPECT_EQ(random.model->tensors().size(), official->tensors().size());
    for (const auto& [name, tensor] : official->tensors()) {
      const Tensor* const ours = random.model->find(name);
      ASSERT_NE(ours, nullptr) << name;
      EXPECT_EQ(without_ones(ours->shape), without_ones(tensor.shape)) << name;
      EXPECT_EQ(ours->dtype, tensor.dtype) << name;
    }
  }
}

TEST(RandomModel, MemoryOfEveryGenerationReachesFromTenTokensToAMillion) {
  for (const char* generation : {"rwkv4", "rwkv5.2", "rwkv6"}) {
    RandomModelShape shape = small();
    shape.generation = generation;
    const Open random(shape);
    int longest = 0;
    for (const float decay : floats(*random.model->find("blocks.1.att.time_decay"))) {
      const double forgets = -std::expm1(-std::exp(decay));  // 1 - w
      longest += forgets < 1e-3;
      EXPECT_GT(forgets, 4e-7);
      EXPECT_LT(forgets, 0.2);
    }
    EXPECT_GT(longest, 128 / 2) << generation;
  }
}

TEST(RandomModel, OptionalTensorsComeAndGo) {
  RandomModelShape shape = small();
  shape.block0_v = true;
  shape.head = false;
  shape.ffn = 96;
  shape.dtype = DType::f16;
  const Open random(shape);
  EXPECT_NE(random.model->find("blocks.0.att.v2"), nullptr);
  EXPECT_EQ(random.model->find("head.weight"), nullptr);
  EXPECT_EQ(random.model->require("blocks.1.ffn.key.weight", {96, 128}).dtype, DType::f16);
}

TEST(RandomModel, MatricesHaveTheSpreadTheirInputsAskFor) {
  const Open random(small());
  const auto deviation = [&](const char* name) {
    double sum = 0, squares = 0;
    const auto values = floats(*random.model->find(name));
    for (const float value : values) sum += value, squares += value * value;
    const double n = static_cast<double>(values.size()), mean = sum / n;
    EXPECT_LT(std::abs(mean), 5 * std::sqrt(squares) / n) << name;  // five standard errors
    return std::sqrt(squares / n - mean * mean);
  };
  EXPECT_NEAR(deviation("head.weight"), 1 / std::sqrt(128.0), 1e-3);
  EXPECT_NEAR(deviation("blocks.2.att.receptance.weight"), 1 / std::sqrt(128.0), 2e-3);
  EXPECT_NEAR(deviation("blocks.1.att.output.weight"), std::sqrt(0.5 / 3 / 128), 1e-3);
}

TEST(RandomModel, MemoryIsLongInManyChannelsAndShortInOthers) {
  const Open random(small());
  int longest = 0, shortest = 0;
  for (const float w0 : floats(*random.model->find("blocks.1.att.w0"))) {
    const double forgets = -std::expm1(-0.606531 / (1 + std::exp(-w0)));  // 1 - w
    if (forgets > 1e-6 && forgets < 1e-3) ++longest;
    if (forgets > 1e-2) ++shortest;
    EXPECT_GT(forgets, 4e-7);
    EXPECT_LT(forgets, 0.2);
  }
  EXPECT_GT(longest, 128 / 2);
  EXPECT_GT(shortest, 128 / 5);
}

TEST(RandomModel, TensorsOfOneShapeDiffer) {
  const Open random(small());
  const auto values = [&](const char* name) { return floats(*random.model->find(name)); };
  EXPECT_NE(values("blocks.0.att.key.weight"), values("blocks.1.att.key.weight"));
  EXPECT_NE(values("blocks.0.att.key.weight"), values("blocks.0.att.value.weight"));
}

}  // namespace
}  // namespace riverrun::checkpoint
