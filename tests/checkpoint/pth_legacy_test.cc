// .pth of PyTorch before 1.6, byte by byte; files of the real torch are in containers_test.cc.
#include "support.h"

namespace riverrun::checkpoint {
namespace {

using pickle::dict;

const std::string kMagic("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e", 15);

std::string system_facts(bool little = true) {
  return dict({{"protocol_version", pickle::integer(1001)}, {"little_endian", little ? "\x88" : "\x89"}});
}
std::string legacy_storage(const std::string& type, const std::string& key, int elements,
                           const std::string& view = "N") {
  return pickle::tuple({pickle::text("storage"), pickle::global("torch", type), pickle::text(key),
                        pickle::text("cpu"), pickle::integer(elements), view}) +
         "Q";
}
std::string list(const std::vector<std::string>& keys) {
  std::string text = "](";
  for (const std::string& key : keys) text += pickle::text(key);
  return text + "e";
}
std::string stored(const std::vector<float>& values) {
  return le<std::uint64_t>(values.size()) + le_all(values);
}
std::string legacy(const std::string& object, const std::string& keys, const std::string& data,
                   int protocol = 1001, const std::string& facts = system_facts()) {
  return kMagic + pickle::file(pickle::integer(protocol)) + pickle::file(facts) + pickle::file(object) +
         pickle::file(keys) + data;
}
std::string weight(const std::string& storage, int offset = 0, int size = 2) {
  return dict({{"w", pickle::tensor(storage, offset, {size}, {1})}});
}

TEST(PthLegacy, StoragesFollowInTheOrderOfTheKeys) {
  const std::string object = dict({{"a", pickle::tensor(legacy_storage("FloatStorage", "11", 3), 1, {2}, {1})},
                                   {"b", pickle::tensor(legacy_storage("FloatStorage", "5", 2), 0, {2}, {1})},
                                   {"c", pickle::tensor(legacy_storage("FloatStorage", "11", 3), 0, {1}, {1})}});
  const TemporaryFile file(legacy(object, list({"5", "11"}), stored({1, 2}) + stored({3, 4, 5})));
  const auto read = open_checkpoint(file.path());
  EXPECT_EQ(read->container(), "pth (legacy)");
  EXPECT_EQ(floats(*read->find("a")), (std::vector<float>{4, 5}));
  EXPECT_EQ(floats(*read->find("b")), (std::vector<float>{1, 2}));
  EXPECT_EQ(floats(*read->find("c")), (std::vector<float>{3}));
}

TEST(PthLegacy, FilesOfTorchHaveTheirValues) {
  const auto file = open_checkpoint(golden("checkpoint/legacy.pth"));
  EXPECT_EQ(floats(file->require("weight", {2, 3})), (std::vector<float>{-3, -2.5f, -2, -1.5f, -1, -0.5f}));
}

TEST(PthLegacy, DamagedFilesAreRefusedWithTheReason) {
  const std::string two = legacy_storage("FloatStorage", "0", 2);
  const std::string data = stored({1, 2});
  expect_refused(legacy(weight(two), list({"0"}), data, 1002), {"unknown protocol"});
  expect_refused(legacy(weight(two), list({"0"}), data, 1001, system_facts(false)), {"little-endian"});
  expect_refused(legacy(weight(two), list({"0"}), data, 1001, "N"), {"third pickle is None"});
  expect_refused(legacy(weight(two), list({}), ""), {"tensor w", "needs storage 0"});
  expect_refused(legacy(weight(two), list({"0", "1"}), data + data), {"lists 1 as a storage"});
  expect_refused(legacy(weight(two), list({"0", "0"}), data + data), {"lists storage 0 twice"});
  expect_refused(legacy(weight(two), "N", data), {"None instead of its storages' keys"});
  expect_refused(legacy(weight(two), list({"0"}), data + "x"), {"1 bytes follow"});
  expect_refused(legacy(weight(two), list({"0"}), data.substr(0, 7)), {"ends before storage 0"});
  expect_refused(legacy(weight(two), list({"0"}), data.substr(0, 12)), {"ends inside storage 0"});
  for (const std::uint64_t count : {~std::uint64_t{0}, std::uint64_t{1} << 62, std::uint64_t{1} << 63}) {
    expect_refused(legacy(weight(two), list({"0"}), le(count) + le_all<float>({1, 2})),
                   {"ends inside storage 0"});
  }
  expect_refused(legacy(weight(two, 1), list({"0"}), data), {"tensor w", "outside storage 0"});
  expect_refused(legacy(weight(legacy_storage("FloatStorage", "0", 3)), list({"0"}), data),
                 {"should hold 3 elements"});
  expect_refused(legacy(weight(legacy_storage("FloatStorage", "0", 2, pickle::integer(1))), list({"0"}), data),
                 {"before 0.4"});
  const std::string both = dict({{"a", pickle::tensor(two, 0, {2}, {1})},
                                 {"b", pickle::tensor(legacy_storage("HalfStorage", "0", 2), 0, {2}, {1})}});
  expect_refused(legacy(both, list({"0"}), data), {"both as fp32 and as fp16"});
}

TEST(PthLegacy, BarePicklesAreRefused) {
  expect_refused(pickle::file(dict({{"w", pickle::integer(1)}})), {"bare pickle", "torch.save"});
  expect_refused("\x80\x04\x95", {"bare pickle"});
}

}  // namespace
}  // namespace riverrun::checkpoint
