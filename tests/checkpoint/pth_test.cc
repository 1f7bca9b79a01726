// .pth files: views of shared storages as PyTorch writes them, and every way in which a file may be wrong.
#include "support.h"

namespace riverrun::checkpoint {
namespace {

using pickle::dict;
using pickle::storage;
using pickle::tensor;

// Element i of a base tensor in the files of make.py.
float base(Index i) { return static_cast<float>(i) / 2 - 3; }

std::vector<float> bases(const std::vector<Index>& at) {
  std::vector<float> values;
  for (const Index i : at) values.push_back(base(i));
  return values;
}

TEST(Pth, ViewsSavedByPyTorchHaveTheirValues) {
  const auto file = open_checkpoint(golden("checkpoint/views.pth"));
  const auto values = [&](const char* name, std::vector<Index> shape) {
    return floats(file->require(name, shape));
  };
  EXPECT_EQ(values("pool.a", {3, 4}), bases({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}));
  EXPECT_EQ(values("pool.b", {10}), bases({12, 13, 14, 15, 16, 17, 18, 19, 20, 21}));
  EXPECT_EQ(values("pool.every_third", {13}), bases({1, 4, 7, 10, 13, 16, 19, 22, 25, 28, 31, 34, 37}));
  EXPECT_EQ(values("matrix.columns", {2, 3}), bases({8, 9, 10, 14, 15, 16}));
  EXPECT_EQ(values("matrix.one_row", {6, 1}), bases({12, 13, 14, 15, 16, 17}));
  EXPECT_EQ(values("parameter", {2, 2}), bases({0, 1, 2, 3}));
  EXPECT_EQ(values("scalar", {}), std::vector<float>{2.5f});
  EXPECT_EQ(values("empty", {0, 5}), std::vector<float>{});

  std::vector<Index> transposed, permuted;
  for (Index i = 0; i < 6; ++i)
    for (Index j = 0; j < 4; ++j) transposed.push_back(j * 6 + i);
  EXPECT_EQ(values("matrix.t", {6, 4}), bases(transposed));
  for (Index k = 0; k < 4; ++k)
    for (Index i = 0; i < 2; ++i)
      for (Index j = 0; j < 3; ++j) permuted.push_back((i * 3 + j) * 4 + k);
  EXPECT_EQ(values("permuted", {4, 2, 3}), bases(permuted));

  EXPECT_EQ(file->find("pool.b")->data, file->find("pool.a")->data + 12 * 2);  // one storage, not a copy
}

TEST(Pth, EveryElementTypeSavedByPyTorchIsRead) {
  const auto file = open_checkpoint(golden("checkpoint/views.pth"));
  for (const char* const name : {"float64", "float32", "bfloat16", "float16"}) {
    EXPECT_EQ(floats(file->require(name, {2, 5})), bases({0, 1, 2, 3, 4, 5, 6, 7, 8, 9})) << name;
  }
  const auto bytes = [&](const char* name) {
    const Tensor& is = file->require(name, {2, 5});
    return std::string(reinterpret_cast<const char*>(is.data),
                       static_cast<std::size_t>(10 * size_of(is.dtype)));
  };
  EXPECT_EQ(bytes("int64"), le_all<std::int64_t>({0, 1, 2, 3, 4, 5, 6, 0, 1, 2}));
  EXPECT_EQ(bytes("int32"), le_all<std::int32_t>({0, 1, 2, 3, 4, 5, 6, 0, 1, 2}));
  EXPECT_EQ(bytes("int16"), le_all<std::int16_t>({0, 1, 2, 3, 4, 5, 6, 0, 1, 2}));
  EXPECT_EQ(bytes("int8"), le_all<std::int8_t>({0, 1, 2, 3, 4, 5, 6, 0, 1, 2}));
  EXPECT_EQ(bytes("uint8"), le_all<std::uint8_t>({0, 1, 2, 3, 4, 5, 6, 0, 1, 2}));
  EXPECT_EQ(bytes("bool"), le_all<std::uint8_t>({0, 1, 0, 1, 0, 1, 0, 1, 0, 1}));
  EXPECT_EQ(file->find("int64")->dtype, DType::i64);
  EXPECT_EQ(file->find("bool")->dtype, DType::boolean);
}

TEST(Pth, ValuesThatAreNoTensorsAreLeftOut) {
  const auto file = open_checkpoint(golden("checkpoint/views.pth"));
  for (const char* const name : {"step", "note", "ratio", "big", "flags", "kind"}) {
    EXPECT_EQ(file->find(name), nullptr) << name;
  }
  EXPECT_EQ(file->tensors().size(), 21u);
}

TEST(Pth, WeightsInsideAStateDictAreFound) {
  const auto file = open_checkpoint(golden("checkpoint/wrapped.pth"));
  EXPECT_EQ(file->tensors().size(), 2u);
  EXPECT_EQ(floats(file->require("weight", {2, 3})), bases({0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(floats(file->require("bias", {2})), bases({0, 1}));
}

TEST(Pth, FilesConvertedByTheRwkvPackageAreRefused) {
  expect_refused(read_file(golden("checkpoint/converted.pth")),
                 {"_strategy", "already converted", "original .pth"});
  const std::string weight = tensor(storage("FloatStorage", "0", 2), 0, {2}, {1});
  for (const char* const mark : {"_version", "_rescale_layer"}) {
    expect_refused(make_pth(dict({{"w", weight}, {mark, pickle::integer(1)}}), le_all<float>({1, 2})),
                   {mark});
  }
}

TEST(Pth, OtherKindsOfTensorAreRefusedByName) {
  expect_refused(read_file(golden("checkpoint/sparse.pth")), {"torch._utils._rebuild_sparse_tensor"});
  expect_refused(read_file(golden("checkpoint/expanded.pth")), {"tensor weight", "[3, 4]", "contiguous()"});
}

TEST(Pth, AnyRootNameAndNewerMembersAreTaken) {
  const std::string weight = tensor(storage("FloatStorage", "key", 3), 1, {2}, {1});
  const TemporaryFile file(
      make_zip({{"003/data.pkl", pickle::file(dict({{"w", weight}}))},
                {"003/.format_version", "1"},
                {"003/byteorder", "little"},
                {"003/data/key", le_all<float>({1, 2, 3}), std::string("FB\x05\0zzzzz", 9)},
                {"003/.data/serialization_id", "12"}},
               /*zip64=*/false, "a comment"));
  EXPECT_EQ(floats(open_checkpoint(file.path())->require("w", {2})), (std::vector<float>{2, 3}));
}

TEST(Pth, BigEndianNumbersAreRefused) {
  const std::string weight = tensor(storage("FloatStorage", "0", 1), 0, {1}, {1});
  expect_refused(make_zip({{"a/data.pkl", pickle::file(dict({{"w", weight}}))},
                           {"a/byteorder", "big"},
                           {"a/data/0", le<float>(1)}}),
                 {"byte order \"big\""});
}

TEST(Pth, DimensionsOfSizeOneMayHaveAnyStride) {
  const std::string weight = tensor(storage("HalfStorage", "0", 3), 0, {1, 3, 1}, {999999999, 1, 77});
  const TemporaryFile file(make_pth(dict({{"w", weight}}), le_all<std::uint16_t>({0x3c00, 0x4000, 0x4200})));
  const auto read = open_checkpoint(file.path());
  EXPECT_EQ(floats(read->require("w", {3})), (std::vector<float>{1, 2, 3}));
  EXPECT_TRUE(read->find("w")->contiguous());
}

TEST(Pth, EmptyTensorMayLieAtTheEndOfAnEmptyStorage) {
  const std::string weight = tensor(storage("FloatStorage", "0", 0), 0, {0, 4}, {4, 1});
  const TemporaryFile file(make_pth(dict({{"w", weight}}), ""));
  EXPECT_EQ(open_checkpoint(file.path())->require("w", {0, 4}).size(), 0);
}

// Five floats are stored; each of these views takes more, or counts in a way that must not wrap around.
TEST(Pth, ViewsOutsideTheirStorageAreRefused) {
  constexpr std::int32_t kMost = 2147483647;
  const auto refused = [](const std::string& weight, const std::vector<std::string>& words) {
    expect_refused(make_pth(dict({{"w", weight}}), le_all<float>({1, 2, 3, 4, 5})), words);
  };
  const std::string five = storage("FloatStorage", "0", 5);
  refused(tensor(five, 0, {6}, {1}), {"tensor w", "[6]", "outside archive/data/0", "5 elements"});
  refused(tensor(five, 3, {3}, {1}), {"offset 3", "outside"});
  refused(tensor(five, 0, {2, 2}, {4, 1}), {"strides [4, 1]", "outside"});
  refused(tensor(five, 6, {0}, {1}), {"offset 6", "outside"});
  refused(tensor(five, -1, {2}, {1}), {"offset -1", "outside"});
  refused(tensor(five, 0, {2}, {-1}), {"negative stride"});
  refused(tensor(five, 0, {-2}, {1}), {"negative dimension"});
  refused(tensor(five, 0, {2, 2}, {1}), {"shape [2, 2] but strides [1]"});
  refused(tensor(five, 0, {kMost, kMost, kMost}, {1, 1, 1}), {"too large"});
  refused(tensor(five, 0, {kMost, kMost, kMost}, {kMost, kMost, kMost}), {"too large"});
  refused(tensor(five, 0, {kMost, kMost, 4}, {0, 0, 0}), {"too large"});
  refused(tensor(five, 0, {1000}, {0}), {"expanded view"});
  refused(tensor(storage("FloatStorage", "0", 6), 0, {2}, {1}),
          {"should hold 6 elements of fp32", "20 bytes"});
  refused(tensor(storage("DoubleStorage", "0", 5), 0, {2}, {1}), {"fp64", "20 bytes"});
  refused(tensor(storage("FloatStorage", "0", -1), 0, {0}, {1}), {"-1 elements"});
  refused(tensor(storage("FloatStorage", "1", 5), 0, {2}, {1}), {"archive/data/1", "not in the file"});
  refused(tensor(five, 0, std::vector<std::int32_t>(40, 1), std::vector<std::int32_t>(40, 1)),
          {"40 numbers"});
}

TEST(Pth, NamesMustBeStringsThatComeOnce) {
  const std::string weight = tensor(storage("FloatStorage", "0", 1), 0, {1}, {1});
  expect_refused(make_pth(dict({{"w", weight}, {"w", weight}}), le<float>(1)), {"two tensors named w"});
  expect_refused(make_pth(concat("}", pickle::integer(3), weight, "s"), le<float>(1)),
                 {"an integer as the name"});
  expect_refused(make_pth(dict({{"n", pickle::integer(3)}}), le<float>(1)), {"holds no tensor"});
}

TEST(Pth, TopObjectMustBeADictOfTensors) {
  const std::string weight = tensor(storage("FloatStorage", "0", 1), 0, {1}, {1});
  expect_refused(make_pth(weight, le<float>(1)), {"a tensor, expected a dict"});
  expect_refused(make_pth(dict({{"state_dict", weight}}), le<float>(1)), {"its state_dict is a tensor"});
}

TEST(Pth, ZipWithoutExactlyOnePickleIsRefused) {
  expect_refused(make_zip({{"a/b/data.pkl", "x"}, {"notes.txt", "hello"}}), {"without a data.pkl"});
  expect_refused(make_zip({{"a/data.pkl", "x"}, {"b/data.pkl", "x"}}), {"a/data.pkl", "b/data.pkl"});
}

}  // namespace
}  // namespace riverrun::checkpoint
