// The zip directory finds members where real writers put them, and says what is wrong with the rest.
#include <fstream>

#include "checkpoint/zip_directory.h"
#include "support.h"

namespace riverrun::checkpoint {
namespace {

std::string read(const std::string& zip, const std::string& name) {
  const TemporaryFile file(zip);
  const ZipDirectory directory(std::make_shared<const MappedFile>(file.path()));
  const auto bytes = directory.read(name);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string refusal(const std::string& zip, const std::string& name) {
  try {
    read(zip, name);
  } catch (const InputError& error) {
    return error.what();
  }
  return "accepted";
}

const std::vector<ZipMember> kMembers = {
    {"r/a", "first"}, {"r/b", "", "extra!"}, {"r/c", std::string(300, 'c'), "xy"}};

class ZipKinds : public ::testing::TestWithParam<std::tuple<bool, std::string>> {};

TEST_P(ZipKinds, MembersHaveTheirBytes) {
  const auto& [zip64, comment] = GetParam();
  const std::string zip = make_zip(kMembers, zip64, comment);
  for (const ZipMember& member : kMembers) EXPECT_EQ(read(zip, member.name), member.data) << member.name;
}

// The second comment holds the signature of an end record; only the one whose comment fills the file counts.
INSTANTIATE_TEST_SUITE_P(Zip, ZipKinds,
                         ::testing::Combine(::testing::Bool(),
                                            ::testing::Values("",
                                                              "PK\x05\x06 is not the end of this file......",
                                                              std::string(65535, '.'))));

// As PyTorch writes a model above 4 GB, here sparse: zip64 fields hold only what does not fit 32 bits.
TEST(Zip, MembersAboveFourGigabytesAreFound) {
  constexpr std::uint64_t kSize = (std::uint64_t{1} << 32) + 64;
  const auto local = [](const std::string& name) {
    return concat(le<std::uint32_t>(0x04034b50), le<std::uint16_t>(0), le<std::uint16_t>(0x0808),
                  std::string(18, '\0'), le(static_cast<std::uint16_t>(name.size())), le<std::uint16_t>(0),
                  name);
  };
  const auto central = [](const std::string& name, std::uint32_t size, std::uint32_t at,
                          const std::string& wide) {
    return concat(le<std::uint32_t>(0x02014b50), std::string(4, '\0'), le<std::uint16_t>(0x0808),
                  std::string(10, '\0'), le(size), le(size), le(static_cast<std::uint16_t>(name.size())),
                  le(static_cast<std::uint16_t>(wide.size() + 4)), std::string(10, '\0'), le(at), name,
                  le<std::uint16_t>(1), le(static_cast<std::uint16_t>(wide.size())), wide);
  };
  const std::string first = local("big");
  const std::uint64_t second = first.size() + kSize;
  std::string tail = "last" + local("small") + "x";
  const std::uint64_t directory = second - 4 + tail.size();
  const std::string entries =
      central("big", ~0u, 0, le(kSize) + le(kSize)) + central("small", 1, ~0u, le(second));
  const std::uint64_t end = directory + entries.size();
  tail += entries + le<std::uint32_t>(0x06064b50) + le<std::uint64_t>(44) + std::string(12, '\0') +
          le<std::uint64_t>(2) + le<std::uint64_t>(2) + le<std::uint64_t>(entries.size()) + le(directory) +
          le<std::uint32_t>(0x07064b50) + le<std::uint32_t>(0) + le(end) + le<std::uint32_t>(1) +
          le<std::uint32_t>(0x06054b50) + std::string(4, '\0') + le<std::uint16_t>(2) + le<std::uint16_t>(2) +
          le(static_cast<std::uint32_t>(entries.size())) + le(~0u) + le<std::uint16_t>(0);

  const TemporaryFile file(first);
  std::fstream out(file.path(), std::ios::binary | std::ios::in | std::ios::out);
  out.seekp(static_cast<std::streamoff>(second - 4))
      .write(tail.data(), static_cast<std::streamsize>(tail.size()));
  out.close();
  ASSERT_TRUE(out) << "no room for a sparse file of 4 GB";

  const ZipDirectory zip(std::make_shared<const MappedFile>(file.path()));
  const auto big = zip.read("big"), small = zip.read("small");
  ASSERT_EQ(big.size(), kSize);
  EXPECT_EQ(std::memcmp(big.data() + kSize - 4, "last", 4), 0);
  EXPECT_EQ(small.size(), 1u);
  EXPECT_EQ(std::to_integer<char>(small[0]), 'x');
}

TEST(Zip, MembersThatCannotBeReadInPlaceAreRefused) {
  EXPECT_NE(refusal(make_zip({{"a", "x", "", 8}}), "a").find("a is compressed (method 8)"),
            std::string::npos);
  EXPECT_NE(refusal(make_zip({{"a", "x", "", 0, 1}}), "a").find("encrypted"), std::string::npos);
  EXPECT_NE(refusal(make_zip({{"a", "x"}}), "b").find("no member b"), std::string::npos);
  EXPECT_EQ(read(make_zip({{"a", "x", "", 8}, {"b", "y"}}), "b"), "y");  // others may be
}

TEST(Zip, NamesComeOnce) {
  EXPECT_NE(refusal(make_zip({{"a", "x"}, {"a", "y"}}), "a").find("holds a twice"), std::string::npos);
}

TEST(Zip, LocalHeaderMustBelongToTheMember) {
  std::string zip = make_zip({{"abc", "x"}});
  zip[30] = 'X';
  EXPECT_NE(refusal(zip, "abc").find("another name"), std::string::npos);
  zip[0] = 'X';
  EXPECT_NE(refusal(zip, "abc").find("not where the directory says"), std::string::npos);
}

TEST(Zip, MembersMayNotRunIntoTheDirectory) {
  std::string zip = make_zip({{"abc", "x"}});
  const std::size_t directory = zip.rfind("PK\x01\x02");
  for (const std::size_t field : {20, 24}) zip[directory + field] = 5;  // both sizes: 5 bytes instead of 1
  EXPECT_NE(refusal(zip, "abc").find("runs into the directory"), std::string::npos);
}

TEST(Zip, DamagedEndRecordsAreRefused) {
  EXPECT_NE(refusal("PK\x03\x04", "a").find("no end record"), std::string::npos);
  std::string zip = make_zip({{"abc", "x"}});
  const std::size_t end = zip.rfind("PK\x05\x06");
  for (const std::size_t field : {4, 10, 12, 16}) {  // disk, members, size of the directory, its offset
    std::string damaged = zip;
    damaged[end + field + 1] = 0x7f;
    EXPECT_NE(refusal(damaged, "abc").find("damaged zip file"), std::string::npos) << field;
  }
}

}  // namespace
}  // namespace riverrun::checkpoint
