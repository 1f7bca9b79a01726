// What a checkpoint is, how large, and whether it can be run, follow from its names and shapes; and what a model says
// that it costs is what it takes.

#include <gtest/gtest.h>

#include <functional>

#include "checkpoint/safetensors_writer.h"
#include "core/error.h"
#include "tests/support/forward.h"
#include "tests/support/small_model.h"

namespace riverrun {
namespace {

using checkpoint::RandomModelShape;
using checkpoint::TensorSpec;

constexpr const char* kGenerations[] = {"rwkv4", "rwkv5.0", "rwkv5.1", "rwkv5.2", "rwkv6", "rwkv7", "rwkv7a"};

class LoadingTest : public testing::Test {
 protected:
  ~LoadingTest() override {
    for (const auto& path : files_) std::remove(path.c_str());
  }

  std::string new_path() {
    files_.push_back(concat("loading_test_", ::getpid(), "_", files_.size(), ".safetensors"));
    return files_.back();
  }

  std::string random_model(const RandomModelShape& shape) {
    const std::string path = new_path();
    checkpoint::write_random_model(path, shape);
    return path;
  }

  // A file of zeros with the tensors of another, changed.
  std::string with(const std::string& path, const std::function<void(std::vector<TensorSpec>&)>& change) {
    std::vector<TensorSpec> tensors;
    const auto file = checkpoint::open_checkpoint(path);
    for (const auto& [name, tensor] : file->tensors()) tensors.push_back({name, tensor.dtype, tensor.shape});
    change(tensors);
    return zeros(tensors);
  }

  std::string zeros(const std::vector<TensorSpec>& tensors) {
    const std::string path = new_path();
    checkpoint::SafetensorsWriter writer(path, tensors);
    for (const auto& tensor : tensors) {
      Index bytes = size_of(tensor.dtype);
      for (const Index n : tensor.shape) bytes *= n;
      writer.write(tensor.name, std::vector<std::byte>(static_cast<std::size_t>(bytes)));
    }
    writer.finish();
    return path;
  }

  static std::function<void(std::vector<TensorSpec>&)> adding(const std::string& name, const std::vector<Index>& shape) {
    return [=](auto& tensors) { tensors.push_back({name, DType::f32, shape}); };
  }
  static std::function<void(std::vector<TensorSpec>&)> reshaping(const std::string& name, const std::vector<Index>& shape) {
    return [=](auto& tensors) {
      for (auto& tensor : tensors) {
        if (tensor.name == name) tensor.shape = shape;
      }
    };
  }

  std::unique_ptr<model::Model> load(const std::string& path, const std::string& initial_state = "") {
    return model::load_model(path, kernels_, stream_, {"fp32", false, initial_state});
  }

  template <class Body>
  static void expect_refused(Body body, const std::vector<std::string>& said) {
    try {
      body();
      FAIL() << "not refused; expected to hear of " << said[0];
    } catch (const InputError& error) {
      for (const auto& words : said) EXPECT_NE(std::string(error.what()).find(words), std::string::npos) << error.what();
    }
  }

  const kernels::KernelTable& kernels_ = kernels::find_backend("reference");
  ThreadPool pool_{1};
  Stream stream_ = host_stream(pool_);
  std::vector<std::string> files_;
};

TEST_F(LoadingTest, GenerationAndSizesFollowFromNamesAndShapes) {
  for (const char* generation : kGenerations) {
    RandomModelShape shape = test::small_shape(generation);
    shape.channels = 96, shape.head_size = 32, shape.ffn = 160;
    const auto config = model::read_config(*checkpoint::open_checkpoint(random_model(shape)));
    EXPECT_EQ(config.generation, generation);
    EXPECT_EQ(config.layers, 3);
    EXPECT_EQ(config.channels, 96);
    EXPECT_EQ(config.ffn, 160);
    EXPECT_EQ(config.vocab, test::kSmallVocab);
    const bool v4 = config.generation == "rwkv4", v6 = config.generation == "rwkv6", v7a = config.generation == "rwkv7a";
    const bool v7 = config.generation == "rwkv7" || v7a;
    EXPECT_EQ(config.heads, v4 ? 0 : 3);
    EXPECT_EQ(config.head_size, v4 ? 0 : 32);
    EXPECT_EQ(config.rank_decay, v6 || v7 ? shape.rank_w : 0);
    EXPECT_EQ(config.rank_shift, v6 ? shape.rank_shift : 0);
    EXPECT_EQ(config.rank_gate, v7 ? shape.rank_g : 0);
    EXPECT_EQ(config.rank_embed, v7a ? shape.rank_embed : 0);
    const auto state = model::state_shape(config);
    EXPECT_EQ(state.parts, v4 ? 96 : 3);
    EXPECT_EQ(state.part_floats, v4 ? 3 : 32 * 32);
  }
}

// Per head or per channel is said by the shape of the decay, also where one of its sides is 1.
TEST_F(LoadingTest, DecayPerChannelIsToldFromDecayPerHead) {
  for (const Index head_size : {1, 16, 128}) {
    for (const char* generation : {"rwkv5.1", "rwkv5.2"}) {
      RandomModelShape shape = test::small_shape(generation);
      shape.head_size = head_size;
      const auto config = model::read_config(*checkpoint::open_checkpoint(random_model(shape)));
      EXPECT_EQ(config.generation, generation) << head_size;
      EXPECT_EQ(config.head_size, head_size);
    }
  }
  for (const std::vector<Index>& shape : {std::vector<Index>{2, 1}, {2, 1, 1}}) {
    const auto column = with(random_model(test::small_shape("rwkv5.1")), reshaping("blocks.0.att.time_decay", shape));
    EXPECT_EQ(model::read_config(*checkpoint::open_checkpoint(column)).generation, "rwkv5.1");
  }
}

TEST_F(LoadingTest, HeadSizesRanksAndDepthMayBeAnything) {
  for (const char* generation : kGenerations) {
    for (const Index head_size : {8, 32, 64, 128}) {
      RandomModelShape shape = test::small_shape(generation);
      shape.head_size = head_size, shape.layers = 1, shape.vocab = 7, shape.ffn = 24;
      shape.rank_w = 1, shape.rank_a = 3, shape.rank_g = 5, shape.rank_shift = 1, shape.rank_embed = 1;
      const auto model = load(random_model(shape));
      model::State state(model->state_shape());
      std::ranges::copy(model->initial_state().values(), state.values().begin());
      const auto out = test::forward(*model, {1, 6, 0, 3, 3}, {5}, state, stream_, false);
      for (const float value : out.hidden) ASSERT_TRUE(std::isfinite(value)) << generation << ", head size " << head_size;
    }
  }
}

TEST_F(LoadingTest, BlockZeroOwnValueTensorsMeanNothing) {
  RandomModelShape shape = test::small_shape();
  std::vector<std::vector<float>> hidden;
  for (const bool there : {false, true}) {
    shape.block0_v = there;
    const auto model = load(random_model(shape));
    model::State state(model->state_shape());
    hidden.push_back(test::forward(*model, test::random_tokens(9, 1), {9}, state, stream_, false).hidden);
  }
  EXPECT_EQ(hidden[0], hidden[1]);
}

TEST_F(LoadingTest, GenerationsWithoutACompactStateAreRefusedByName) {
  const auto base = random_model(test::small_shape());
  const auto config_of = [&](const std::string& path) { return [path] { model::read_config(*checkpoint::open_checkpoint(path)); }; };
  expect_refused(config_of(with(base, adding("blocks.1.qkv.qq.weight", {4, 128}))), {"RWKV-7b", "grows with the text"});
  expect_refused(config_of(with(base, adding("blocks.2.ffn.enn.weight", {300, 128}))), {"RWKV-8"});
  expect_refused(config_of(zeros({{"e.weight", DType::f32, {13, 8}}, {"rosa1.rosa_qkv.emb", DType::f32, {1, 1, 8}}})), {"ROSA"});
}

TEST_F(LoadingTest, WhatDoesNotFitIsRefusedByName) {
  const auto refused = [&](const std::string& path, const std::vector<std::string>& said) { expect_refused([&] { load(path); }, said); };
  const auto v4 = random_model(test::small_shape("rwkv4")), v7 = random_model(test::small_shape()), v7a = random_model(test::small_shape("rwkv7a"));
  refused(with(v4, reshaping("blocks.0.att.key.weight", {64, 128})), {"blocks.0.att.key.weight", "64 attention channels of 128"});
  refused(with(v4, adding("blocks.0.att.time_mix_g", {1, 1, 128})), {"blocks.0.att.time_mix_g", "no place in this model"});
  refused(with(v7, reshaping("blocks.0.att.r_k", {3, 64})), {"blocks.0.att.r_k", "[3, 64]", "128 channels"});
  refused(with(v7, reshaping("blocks.1.att.w2", {16, 64})), {"blocks.1.att.w2", "[16, 64]"});
  refused(with(v7a, reshaping("blocks.0.ffn.s_emb.weight", {300, 65})), {"s_emb", "not the square"});
  refused(with(random_model(test::small_shape("rwkv6")), reshaping("blocks.0.att.time_maa_w1", {128, 61})), {"time_maa_w1", "multiple of 5"});
  refused(with(random_model(test::small_shape("rwkv5.0")), reshaping("blocks.0.att.time_decay", {3})), {"time_decay", "3 heads"});
}

std::vector<TensorSpec> state_tensors(Index layers, std::vector<Index> shape = {2, 64, 64}) {
  std::vector<TensorSpec> tensors;
  for (Index layer = 0; layer < layers; ++layer) tensors.push_back({concat("blocks.", layer, ".att.time_state"), DType::f32, shape});
  return tensors;
}

TEST_F(LoadingTest, ATunedStateIsTheOneNamedElseTheCheckpointsOwn) {
  for (const char* generation : {"rwkv5.2", "rwkv6", "rwkv7"}) {
    RandomModelShape shape = test::small_shape(generation);
    const auto plain = random_model(shape);
    shape.time_state = true;
    const auto tuned = random_model(shape);
    const auto is_zero = [](const model::State& state) { return std::ranges::all_of(state.values(), [](float value) { return value == 0; }); };
    EXPECT_FALSE(load(plain)->has_tuned_state());
    EXPECT_TRUE(is_zero(load(plain)->initial_state()));
    const auto own = load(tuned);
    EXPECT_TRUE(own->has_tuned_state());
    const auto file = checkpoint::open_checkpoint(tuned);
    const auto& stored = file->require("blocks.2.att.time_state", {2, 64, 64});
    std::vector<std::byte> bytes(stored.size() * size_of(stored.dtype));
    checkpoint::copy_elements(stored, bytes.data());
    for (Index i = 0; i < stored.size(); ++i) ASSERT_EQ(own->initial_state().parts(2)[i], load_float(bytes.data(), stored.dtype, i));
    for (Index d = 0; d < 128; ++d) EXPECT_EQ(own->initial_state().time_row(1)[d], 0) << "only the recurrent state is tuned";
    const auto named = load(tuned, zeros(state_tensors(3)));
    EXPECT_TRUE(named->has_tuned_state());
    EXPECT_TRUE(is_zero(named->initial_state()));
  }
}

TEST_F(LoadingTest, AStateOfAnotherModelIsRefusedByName) {
  const auto model = random_model(test::small_shape());
  const auto refused = [&](const std::vector<TensorSpec>& tensors, const std::vector<std::string>& said) {
    const auto state = zeros(tensors);
    expect_refused([&] { load(model, state); }, said);
  };
  refused(state_tensors(2), {"blocks.2.att.time_state"});
  refused(state_tensors(4), {"blocks.3.att.time_state", "no part of an initial state of this model"});
  refused(state_tensors(3, {2, 32, 64}), {"blocks.0.att.time_state", "[2, 32, 64]"});
  auto more = state_tensors(3);
  more.push_back({"ln_out.weight", DType::f32, {128}});
  refused(more, {"ln_out.weight"});
  const auto state = zeros(state_tensors(3));
  for (const char* generation : {"rwkv4", "rwkv5.0", "rwkv5.1"}) {
    const auto other = random_model(test::small_shape(generation));
    expect_refused([&] { load(other, state); }, {generation, "no initial state"});
  }
}

TEST_F(LoadingTest, NoPastIsWhatRwkv4StartsFrom) {
  const auto model = load(random_model(test::small_shape("rwkv4")));
  EXPECT_FALSE(model->has_tuned_state());
  const float* const part = model->initial_state().parts(1);
  EXPECT_EQ(part[0], 0);
  EXPECT_EQ(part[1], 0);
  EXPECT_EQ(part[2], kernels::kWkv4NoPast);
}

TEST_F(LoadingTest, CostsAreWhatAModelTakes) {
  for (const char* generation : kGenerations) {
    RandomModelShape shape = test::small_shape(generation);
    shape.dtype = DType::f32;
    const std::string path = random_model(shape);
    for (const char* weights : {"auto", "int8"}) {
      const auto model = model::load_model(path, kernels_, stream_, {"fp32", true, "", weights});
      const auto cost = model::estimate_cost(model->config(), DType::f32, model->weights());
      const Index one = model->make_workspace(1, stream_)->bytes(), three = model->make_workspace(3, stream_)->bytes();
      EXPECT_EQ(cost.activation_bytes, (three - one) / 2) << generation;
      EXPECT_NEAR(cost.weight_bytes, model->weight_bytes(), 0.05 * model->weight_bytes()) << generation << " " << weights;
    }
  }
}

}  // namespace
}  // namespace riverrun
