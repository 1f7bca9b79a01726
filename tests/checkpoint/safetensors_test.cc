// .safetensors, as the safetensors package writes it, as we write it, and damaged.
#include <unistd.h>

#include "checkpoint/safetensors_writer.h"
#include "support.h"

namespace riverrun::checkpoint {
namespace {

std::string make_safetensors(const std::string& header, const std::string& data) {
  return le<std::uint64_t>(header.size()) + header + data;
}

std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

TEST(Safetensors, EveryElementTypeOfTheRealPackageIsRead) {
  const auto file = open_checkpoint(golden("checkpoint/types.safetensors"));
  EXPECT_EQ(file->container(), "safetensors");
  EXPECT_EQ(file->tensors().size(), 12u);
  for (const char* const name : {"float64", "float32", "bfloat16", "float16"}) {
    EXPECT_EQ(floats(file->require(name, {2, 5})),
              (std::vector<float>{-3, -2.5, -2, -1.5, -1, -.5, 0, .5, 1, 1.5}));
  }
  const std::map<std::string, DType> types = {{"int64", DType::i64}, {"int32", DType::i32},
                                              {"int16", DType::i16}, {"int8", DType::i8},
                                              {"uint8", DType::u8},  {"bool", DType::boolean}};
  for (const auto& [name, type] : types) {
    const Tensor& tensor = file->require(name, {2, 5});
    EXPECT_EQ(tensor.dtype, type);
    EXPECT_EQ(std::to_integer<int>(tensor.data[3 * size_of(type)]), name == "bool" ? 1 : 3) << name;
  }
  EXPECT_EQ(file->require("empty", {0, 5}).size(), 0);
  EXPECT_EQ(floats(file->require("scalar", {})), std::vector<float>{2.5});
}

TEST(Safetensors, WrittenFileIsReadBack) {
  const TemporaryFile file;
  const std::string name = "a \"quoted\" \\ name\n";
  SafetensorsWriter writer(file.path(), {{"empty", DType::f32, {0}},
                                         {name, DType::f32, {2, 2}},
                                         {"none", DType::f64, {3, 0}},
                                         {"b", DType::u8, {}}});
  writer.write(name, bytes_of(le_all<float>({1, 2, 3})));
  writer.write(name, bytes_of(le<float>(4)));
  writer.write("b", bytes_of("\x07"));
  writer.finish();
  const auto read = open_checkpoint(file.path());
  EXPECT_EQ(read->tensors().size(), 4u);
  EXPECT_EQ(floats(read->require(name, {2, 2})), (std::vector<float>{1, 2, 3, 4}));
  EXPECT_EQ(std::to_integer<int>(*read->require("b", {}).data), 7);
  EXPECT_EQ(read->require("none", {3, 0}).dtype, DType::f64);
}

TEST(Safetensors, DataBeginsAlignedWhateverTheNames) {
  for (int length = 1; length <= 9; ++length) {
    const TemporaryFile file;
    const std::string name(static_cast<std::size_t>(length), 'n');
    SafetensorsWriter writer(file.path(), {{name, DType::f64, {1}}});
    writer.write(name, bytes_of(le<double>(0.5)));
    writer.finish();
    const auto read = open_checkpoint(file.path());
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(read->require(name, {1}).data) % 8, 0u);
    EXPECT_EQ(floats(*read->find(name)), std::vector<float>{0.5});
  }
}

TEST(Safetensors, UnfinishedFileNeverTakesItsName) {
  const TemporaryFile file("the file before");
  {
    SafetensorsWriter writer(file.path(), {{"a", DType::f32, {2}}});
    writer.write("a", bytes_of(le<float>(1)));
    EXPECT_THROW(writer.finish(), Error);
  }
  EXPECT_EQ(read_file(file.path()), "the file before");
  EXPECT_NE(::access((file.path() + ".tmp").c_str(), F_OK), 0);
}

TEST(Safetensors, WriterRefusesWhatDoesNotFitItsList) {
  const TemporaryFile file;
  const auto one = bytes_of("1");
  SafetensorsWriter writer(file.path(), {{"a", DType::u8, {1}}, {"b", DType::u8, {1}}});
  EXPECT_THROW(writer.write("b", one), Error);
  EXPECT_THROW(writer.write("a", bytes_of("12")), Error);
  writer.write("a", one);
  EXPECT_THROW(writer.write("a", one), Error);
  writer.write("b", one);
  EXPECT_THROW(writer.write("b", one), Error);
  writer.finish();
  EXPECT_THROW(writer.finish(), Error);
  EXPECT_THROW(SafetensorsWriter(file.path(), {{"a", DType::u8, {1}}, {"a", DType::u8, {1}}}), Error);
  EXPECT_THROW(SafetensorsWriter(file.path(), {{"a", DType::u8, {-1}}}), InputError);
  EXPECT_THROW(SafetensorsWriter("/no/such/directory/x", {}), InputError);
}

TEST(Safetensors, FullDiskIsAnError) {
  if (::access("/dev/full", W_OK) != 0) GTEST_SKIP() << "needs /dev/full";
  const TemporaryFile file;
  const std::string partial = file.path() + ".tmp";
  ASSERT_EQ(::symlink("/dev/full", partial.c_str()), 0);
  const std::string big(1 << 20, 'x');
  try {
    SafetensorsWriter writer(file.path(), {{"a", DType::u8, {1 << 20}}});
    writer.write("a", bytes_of(big));
    writer.finish();
    FAIL() << "was written";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("No space left"), std::string::npos) << error.what();
  }
}

TEST(Safetensors, MisalignedDataIsReadAsWell) {
  const std::string header = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[1,9]},)"
                             R"("b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})";
  for (const std::string pad : {"", " ", "  ", "   "}) {
    const TemporaryFile file(make_safetensors(header + pad, "x" + le_all<float>({1.5, -2})));
    EXPECT_EQ(floats(open_checkpoint(file.path())->require("a", {2})), (std::vector<float>{1.5, -2}));
  }
}

// The length of this header, 640 bytes, looks like the start of a pickle.
TEST(Safetensors, HeaderOf640BytesIsNotTakenForAPickle) {
  std::string header = R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
  header.resize(640, ' ');
  const TemporaryFile file(make_safetensors(header, le<float>(2)));
  EXPECT_EQ(floats(open_checkpoint(file.path())->require("a", {1})), std::vector<float>{2});
}

TEST(Safetensors, WrongHeadersAreRefusedWithTheReason) {
  const auto refused = [](const std::string& tensor, const std::vector<std::string>& words) {
    expect_refused(make_safetensors("{\"w\":" + tensor + "}", std::string(8, '\0')), words);
  };
  refused(R"({"dtype":"F32","shape":[3],"data_offsets":[0,8]})", {"tensor w", "takes 12 bytes", "span 8"});
  refused(R"({"dtype":"F32","shape":[2],"data_offsets":[4,12]})", {"4 to 12", "outside the 8 bytes"});
  refused(R"({"dtype":"F32","shape":[2],"data_offsets":[8,0]})", {"8 to 0"});
  refused(R"({"dtype":"F32","shape":[2],"data_offsets":[0]})", {"1 data_offsets"});
  refused(R"({"dtype":"F32","shape":[-2],"data_offsets":[0,8]})", {"whole numbers"});
  refused(R"({"dtype":"F32","shape":[2.0],"data_offsets":[0,8]})", {"whole numbers"});
  refused(R"({"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,8]})", {"whole numbers"});
  refused(R"({"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]})", {"too large"});
  refused(R"({"dtype":"F8_E4M3","shape":[8],"data_offsets":[0,8]})", {"F8_E4M3", "not supported"});
  refused(R"({"dtype":"F32","data_offsets":[0,8]})", {"no proper \"shape\""});
  refused(R"({"dtype":3,"shape":[2],"data_offsets":[0,8]})", {"no proper \"dtype\""});
  refused(R"([1,2])", {"tensor w", "no proper"});
  refused(R"({"dtype":"F32","shape":[[[[[[2]]]]]],"data_offsets":[0,8]})", {"nested too deeply"});
  refused("{", {"not valid JSON"});
  const std::string good = R"({"dtype":"F32","shape":[2],"data_offsets":[0,8]})";
  expect_refused(make_safetensors("{\"w\":" + good + ",\"w\":" + good + "}", std::string(8, '\0')),
                 {"holds w twice"});
  expect_refused(make_safetensors("{}", ""), {"holds no tensor"});
  expect_refused(le<std::uint64_t>(1000) + "{}", {"ends inside its header"});
  expect_refused(le<std::uint64_t>(~0ull) + "{}", {"ends inside its header"});
}

}  // namespace
}  // namespace riverrun::checkpoint
