// CRC-32C guards ring messages and checkpoints: it must be the published one on every machine, whichever way the
// bytes are cut, or a checkpoint written on one node is called damaged on another.
#include "core/crc32c.h"

#include <cstddef>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

namespace riverrun {
namespace {

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

std::vector<std::byte> counting(std::size_t size) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 131 + i / 251);
  return bytes;
}

// Bit by bit from the polynomial: the definition.
std::uint32_t by_definition(std::span<const std::byte> bytes) {
  std::uint32_t crc = 0xffffffffu;
  for (const std::byte byte : bytes) {
    crc ^= static_cast<std::uint32_t>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1u) ? 0x82f63b78u : 0u);
  }
  return ~crc;
}

TEST(Crc32cTest, ThePublishedVectors) {
  EXPECT_EQ(crc32c(bytes_of("123456789")), 0xe3069283u);  // the check value of the CRC catalogues
  // RFC 3720, B.4: 32 bytes of zeros, of ones, rising, falling; an iSCSI read command.
  std::vector<std::byte> data(32, std::byte{0});
  EXPECT_EQ(crc32c(data), 0x8a9136aau);
  data.assign(32, std::byte{0xff});
  EXPECT_EQ(crc32c(data), 0x62a8ab43u);
  for (std::size_t i = 0; i < 32; ++i) data[i] = static_cast<std::byte>(i);
  EXPECT_EQ(crc32c(data), 0x46dd794eu);
  for (std::size_t i = 0; i < 32; ++i) data[i] = static_cast<std::byte>(31 - i);
  EXPECT_EQ(crc32c(data), 0x113fdb5cu);
  const unsigned char command[48] = {0x01, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x14, 0, 0, 0, 0, 0, 4, 0,
                                     0, 0, 0, 0x14, 0, 0, 0, 0x18, 0x28, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0};
  EXPECT_EQ(crc32c(std::as_bytes(std::span(command))), 0xd9963a56u);
}

TEST(Crc32cTest, NoBytesChangeNothing) {
  EXPECT_EQ(crc32c({}), 0u);
  EXPECT_EQ(crc32c({}, 0x12345678u), 0x12345678u);
}

// Byte by byte only the table is used, in one piece the 8-byte instruction where the machine has it.
TEST(Crc32cTest, ByteByByteAndInOnePieceAndTheDefinitionAgreeForEveryLengthAndAlignment) {
  const auto data = counting(80);
  for (std::size_t begin = 0; begin < 9; ++begin) {
    for (std::size_t size = 0; begin + size <= data.size(); ++size) {
      const std::span bytes = std::span<const std::byte>(data).subspan(begin, size);
      std::uint32_t piecewise = 0;
      for (const std::byte& byte : bytes) piecewise = crc32c({&byte, 1}, piecewise);
      ASSERT_EQ(crc32c(bytes), piecewise) << begin << " + " << size;
      ASSERT_EQ(crc32c(bytes), by_definition(bytes)) << begin << " + " << size;
    }
  }
}

TEST(Crc32cTest, CutAnywhereTheSecondPartContinuesTheFirst) {
  const auto data = counting(1000);
  const std::span<const std::byte> bytes(data);
  const std::uint32_t whole = crc32c(bytes);
  for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
    ASSERT_EQ(crc32c(bytes.subspan(cut), crc32c(bytes.first(cut))), whole) << cut;
  }
}

TEST(Crc32cTest, EverySingleFlippedBitIsSeen) {
  auto data = counting(64);
  const std::uint32_t right = crc32c(data);
  for (std::size_t bit = 0; bit < data.size() * 8; ++bit) {
    data[bit / 8] ^= std::byte{1} << (bit % 8);
    ASSERT_NE(crc32c(data), right) << bit;
    data[bit / 8] ^= std::byte{1} << (bit % 8);
  }
}

}  // namespace
}  // namespace riverrun
