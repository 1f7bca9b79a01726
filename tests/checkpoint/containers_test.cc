// The same weights are the same, whatever file and whatever names they come in. Files of make_containers.py.
#include <filesystem>
#include <fstream>

#include "support.h"

namespace riverrun::checkpoint {
namespace {

struct Form {
  const char *path, *same_as, *container, *naming;
};

std::ostream& operator<<(std::ostream& out, const Form& form) { return out << form.path; }

std::string path_of(const std::string& name) { return golden("containers/" + name); }

std::vector<Index> squeezed(std::vector<Index> shape) {
  std::erase(shape, 1);
  return shape;
}

// Nothing of `model` differs from `official` but what `except` begins with.
void expect_same(const Checkpoint& model, const Checkpoint& official, const std::string& except = "\n") {
  for (const auto& [name, tensor] : official.tensors()) {
    if (name.starts_with(except)) continue;
    const Tensor* const found = model.find(name);
    ASSERT_TRUE(found) << name;
    EXPECT_EQ(squeezed(found->shape), squeezed(tensor.shape)) << name;
    EXPECT_EQ(floats(*found), floats(tensor)) << name;
  }
  for (const auto& [name, tensor] : model.tensors()) {
    EXPECT_TRUE(official.find(name) || name.starts_with("blocks.0.att.v")) << name;
  }
}

class Containers : public ::testing::TestWithParam<Form> {};

TEST_P(Containers, GiveTheOfficialTensorsBitForBit) {
  const Form& form = GetParam();
  const auto model = open_checkpoint(path_of(form.path));
  EXPECT_EQ(model->path(), path_of(form.path));
  EXPECT_EQ(model->container(), form.container);
  EXPECT_EQ(model->extras().naming, form.naming);
  EXPECT_FALSE(model->extras().embedding_normalized);
  expect_same(*model, *open_checkpoint(path_of(form.same_as)));
}

INSTANTIATE_TEST_SUITE_P(
    Files, Containers,
    ::testing::Values(Form{"legacy.pth", "zip.pth", "pth (legacy)", "official"},
                      Form{"wrapped.pth", "zip.pth", "pth (zip)", "official"},
                      Form{"prefixed.pth", "zip.pth", "pth (zip)", "official under module._orig_mod."},
                      Form{"views.pth", "zip.pth", "pth (zip)", "official"},
                      Form{"views_legacy.pth", "zip.pth", "pth (legacy)", "official"},
                      Form{"official.safetensors", "zip.pth", "safetensors", "official"},
                      Form{"sharded", "zip.pth", "safetensors, 4 files", "official"},
                      Form{"sharded/model.safetensors.index.json", "zip.pth", "safetensors, 4 files",
                           "official"},
                      Form{"transformers_v7", "zip.pth", "safetensors", "transformers RWKV-7"},
                      Form{"fla", "zip.pth", "safetensors", "fla RWKV-7"},
                      Form{"fla/model.safetensors", "zip.pth", "safetensors", "fla RWKV-7"},
                      Form{"fla_old.safetensors", "zip.pth", "safetensors", "fla RWKV-7"},
                      Form{"rwkv_rs", "zip.pth", "safetensors", "rwkv-rs RWKV-7"},
                      Form{"world_hf.safetensors", "zip.pth", "safetensors", "RWKV-World-HF RWKV-7"},
                      Form{"web_v7.st", "zip.pth", "safetensors", "web-rwkv RWKV-7"},
                      Form{"transformers_v4", "v4.pth", "safetensors", "transformers RWKV-4, 5, 6"},
                      Form{"hub_v6.safetensors", "v6.pth", "safetensors", "transformers RWKV-4, 5, 6"},
                      Form{"web_v6.st", "v6.pth", "safetensors", "web-rwkv RWKV-6"}));

// T25: ln0 is applied to the embedding once, by the file or by the model.
TEST(Containers, AnEmbeddingThatIsNormalizedAlreadySaysSo) {
  const auto official = open_checkpoint(path_of("zip.pth"));
  for (const char* const path :
       {"rwkv_rs_fused", "rwkv_rs_fused/model.safetensors"}) {  // with config.json, without
    const auto model = open_checkpoint(path_of(path));
    EXPECT_TRUE(model->extras().embedding_normalized) << path;
    EXPECT_EQ(model->find("blocks.0.ln0.weight"), nullptr) << path;
    EXPECT_NE(floats(*model->find("emb.weight")), floats(*official->find("emb.weight"))) << path;
    for (const char* const name : {"blocks.1.att.w1", "blocks.0.ffn.key.weight", "head.weight"}) {
      EXPECT_EQ(floats(*model->find(name)), floats(*official->find(name))) << name;
    }
  }
}

TEST(Containers, AHeadlessModelOpens) {
  const auto model = open_checkpoint(path_of("headless.pth"));
  EXPECT_EQ(model->extras().naming, "official");
  EXPECT_EQ(model->find("head.weight"), nullptr);
  expect_same(*model, *open_checkpoint(path_of("zip.pth")), "head.weight");
}

TEST(Containers, ATunedStateAloneOpens) {
  const auto state = open_checkpoint(path_of("state.pth"));
  EXPECT_EQ(state->extras().naming, "official");
  EXPECT_EQ(state->tensors().size(), 2u);
  EXPECT_EQ(state->require("blocks.1.att.time_state", {2, 8, 8}).dtype, DType::bf16);
}

TEST(Containers, FilePathsAreTheWeightFiles) {
  EXPECT_EQ(open_checkpoint(path_of("zip.pth"))->file_paths(), (std::vector{path_of("zip.pth")}));
  EXPECT_EQ(open_checkpoint(path_of("fla"))->file_paths(), (std::vector{path_of("fla/model.safetensors")}));
  EXPECT_EQ(open_checkpoint(path_of("sharded"))->file_paths(),
            (std::vector{path_of("sharded/model-00001-of-00004.safetensors"),
                         path_of("sharded/model-00002-of-00004.safetensors"),
                         path_of("sharded/model-00003-of-00004.safetensors"),
                         path_of("sharded/model-00004-of-00004.safetensors")}));
}

}  // namespace
}  // namespace riverrun::checkpoint
