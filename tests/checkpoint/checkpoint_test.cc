// What every weight file must give: names, shapes, values, and messages that say what is wrong.
#include "checkpoint/checkpoint.h"

#include "support.h"

namespace riverrun::checkpoint {
namespace {

std::string message_of(const Checkpoint& checkpoint, const std::string& name,
                       const std::vector<Index>& shape) {
  try {
    checkpoint.require(name, shape);
  } catch (const InputError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Checkpoint, ReadsAnOfficialModel) {
  const auto model = open_checkpoint(golden("v7/model.pth"));
  EXPECT_EQ(model->path(), golden("v7/model.pth"));
  EXPECT_EQ(model->container(), "pth (zip)");
  EXPECT_EQ(model->tensors().size(), 102u);  // 4 + 2 + 3 * 33 without block 0's v0, v1, v2
  EXPECT_EQ(model->find("blocks.0.att.v0"), nullptr);
  for (const auto& [name, tensor] : model->tensors()) {
    EXPECT_EQ(tensor.name, name);
    EXPECT_EQ(tensor.dtype, DType::bf16) << name;
    EXPECT_TRUE(tensor.contiguous()) << name;
  }
  EXPECT_EQ(model->require("emb.weight", {271, 128}).shape, (std::vector<Index>{271, 128}));
  EXPECT_EQ(model->require("blocks.2.att.w1", {128, -1}).shape, (std::vector<Index>{128, 48}));
  EXPECT_EQ(model->require("blocks.2.att.w0", {128}).shape, (std::vector<Index>{1, 1, 128}));
  EXPECT_EQ(model->require("blocks.1.ffn.value.weight", {128, 512}).shape, (std::vector<Index>{128, 512}));
}

// Expected values: torch.load.
TEST(Checkpoint, ValuesOfAnOfficialModelAreRight) {
  const auto model = open_checkpoint(golden("v7/model.pth"));
  struct Expected {
    const char* name;
    std::size_t at;
    float value;
  };
  for (const auto& [name, at, value] :
       {Expected{"emb.weight", 0, -0.76171875f}, Expected{"emb.weight", 34687, 0.134765625f},
        Expected{"blocks.0.ln0.weight", 5, 1.078125f}, Expected{"blocks.1.att.w0", 127, -1.5703125f},
        Expected{"blocks.2.att.r_k", 64, -0.015869140625f},
        Expected{"blocks.1.ffn.value.weight", 65533, -0.0238037109375f},
        Expected{"blocks.2.att.g2", 100, -0.1103515625f},
        Expected{"head.weight", 12345, -0.004302978515625f}}) {
    EXPECT_EQ(floats(*model->find(name)).at(at), value) << name << " " << at;
  }
}

TEST(Checkpoint, MissingOrMisshapenTensorIsNamedWithShapes) {
  const auto model = open_checkpoint(golden("v7/model.pth"));
  EXPECT_EQ(message_of(*model, "blocks.3.ln1.weight", {128}),
            golden("v7/model.pth") + ": there is no tensor blocks.3.ln1.weight (expected with shape [128])");
  EXPECT_EQ(
      message_of(*model, "emb.weight", {-1, 256}),
      golden("v7/model.pth") + ": tensor emb.weight has shape [271, 128], expected [-1, 256] (-1: any)");
}

TEST(Checkpoint, DimensionsOfSizeOneDoNotCount) {
  const TemporaryFile file(std::string(64, '\0'));
  const auto mapped = std::make_shared<const MappedFile>(file.path());
  const auto accepts = [&](std::vector<Index> found, std::vector<Index> expected) {
    std::map<std::string, Tensor> tensors;
    tensors["x"] = {"x", DType::f32, found, std::vector<Index>(found.size(), 0), mapped->bytes().data()};
    return message_of(Checkpoint("file", "test", {mapped}, tensors), "x", expected) == "accepted";
  };
  EXPECT_TRUE(accepts({1, 1, 8}, {8}));
  EXPECT_TRUE(accepts({8}, {1, 1, 8}));
  EXPECT_TRUE(accepts({8, 1}, {1, 8}));
  EXPECT_TRUE(accepts({1, 8}, {-1, 8}));
  EXPECT_TRUE(accepts({}, {1}));
  EXPECT_TRUE(accepts({0, 8}, {-1, 8}));
  EXPECT_FALSE(accepts({8}, {-1, 8}));  // the caller would take 8 for the first of two
  EXPECT_FALSE(accepts({4, 2}, {8}));
  EXPECT_FALSE(accepts({2, 4}, {4, 2}));
  EXPECT_FALSE(accepts({0}, {1}));
  EXPECT_FALSE(accepts({8}, {}));
  EXPECT_FALSE(accepts({1, 1}, {2}));
}

TEST(Checkpoint, ReadersCannotHandOutWhatLiesOutsideTheFile) {
  const TemporaryFile file(std::string(64, '\0'));
  const auto mapped = std::make_shared<const MappedFile>(file.path());
  const auto make = [&](Index rows, std::ptrdiff_t offset) {
    const Tensor tensor{"x", DType::f32, {rows}, {1}, mapped->bytes().data() + offset};
    Checkpoint("file", "test", {mapped}, {{"x", tensor}});
  };
  EXPECT_NO_THROW(make(16, 0));
  EXPECT_NO_THROW(make(1, 60));
  EXPECT_NO_THROW(make(0, 64));
  EXPECT_THROW(make(17, 0), Error);
  EXPECT_THROW(make(1, 61), Error);
  EXPECT_THROW(make(0, 65), Error);
}

TEST(Checkpoint, ContiguousMeansRowMajorWithoutGaps) {
  const auto contiguous = [](std::vector<Index> shape, std::vector<Index> strides) {
    return Tensor{"x", DType::f32, std::move(shape), std::move(strides), nullptr}.contiguous();
  };
  EXPECT_TRUE(contiguous({2, 3}, {3, 1}));
  EXPECT_TRUE(contiguous({1, 3}, {77, 1}));
  EXPECT_TRUE(contiguous({2, 1, 3}, {3, 0, 1}));
  EXPECT_TRUE(contiguous({}, {}));
  EXPECT_TRUE(contiguous({0, 3}, {9, 9}));
  EXPECT_FALSE(contiguous({2, 3}, {1, 2}));
  EXPECT_FALSE(contiguous({2, 3}, {4, 1}));
  EXPECT_FALSE(contiguous({3}, {2}));
}

TEST(Checkpoint, ReleasedTensorReadsTheSameAgain) {
  const auto model = open_checkpoint(golden("v7/model.pth"));
  const Tensor& tensor = model->require("emb.weight", {271, 128});
  const auto before = floats(tensor);
  model->release(tensor);
  EXPECT_EQ(floats(tensor), before);
}

TEST(Checkpoint, FilesThatAreNoWeightsAreRefused) {
  EXPECT_THROW(open_checkpoint(golden("no such file")), InputError);
  EXPECT_THROW(open_checkpoint(golden("v7")), InputError);
  expect_refused("", {"0 bytes", "no weight file"});
  expect_refused("version https://git-lfs.github.com/spec/v1\n", {"pth (zip), gguf, safetensors"});
  expect_refused("\x80\x04\x95", {"bare pickle", "torch.save"});
}

}  // namespace
}  // namespace riverrun::checkpoint
