// Buffers: vector loads rely on the alignment, and every activation and carry on who owns the memory after a move.
#include "core/buffer.h"

#include <cstdint>
#include <cstring>
#include <utility>

#include <gtest/gtest.h>

#include "core/error.h"

namespace riverrun {
namespace {

std::uintptr_t address(const void* data) { return reinterpret_cast<std::uintptr_t>(data); }

TEST(BufferTest, EverySizeIsAlignedAndWritableToItsLastByte) {
  const Index mib = Index{1} << 20;
  for (const Index bytes : {Index{1}, Index{63}, Index{64}, Index{65}, Index{4097}, 2 * mib - 1, 2 * mib, 2 * mib + 1}) {
    const Buffer buffer(bytes);
    ASSERT_NE(buffer.data(), nullptr) << bytes;
    EXPECT_EQ(buffer.bytes(), bytes);
    EXPECT_EQ(address(buffer.data()) % 64, 0u) << bytes;
    std::memset(buffer.data(), 0x5a, static_cast<std::size_t>(bytes));
    EXPECT_EQ(buffer.data()[bytes - 1], std::byte{0x5a}) << bytes;
  }
}

TEST(BufferTest, LargeBuffersBeginOnAHugePage) {
  const Index huge = Index{2} << 20;
  EXPECT_EQ(address(Buffer(huge).data()) % huge, 0u);
}

TEST(BufferTest, AnEmptyBufferHasNoMemory) {
  EXPECT_EQ(Buffer().data(), nullptr);
  EXPECT_EQ(Buffer(0).data(), nullptr);
  EXPECT_EQ(Buffer(0).bytes(), 0);
}

TEST(BufferTest, ANegativeSizeIsAnError) { EXPECT_THROW(Buffer(-1), Error); }

TEST(BufferTest, ASizeThatCannotBeHadIsAnError) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the sanitizers end the program instead";
#endif
  EXPECT_THROW(Buffer(Index{1} << 60), Error);
}

TEST(BufferTest, ASizeTooLargeToRoundUpIsAnError) { EXPECT_THROW(Buffer(INT64_MAX), Error); }

TEST(BufferTest, MovingHandsTheMemoryOverAndLeavesNothingBehind) {
  Buffer from(100);
  std::byte* const data = from.data();
  Buffer to(std::move(from));
  EXPECT_EQ(to.data(), data);
  EXPECT_EQ(to.bytes(), 100);
  EXPECT_EQ(from.data(), nullptr);
  EXPECT_EQ(from.bytes(), 0);
}

TEST(BufferTest, MoveAssignmentTakesMemoryAndSizeTogether) {
  Buffer from(100), to(7);
  std::byte* const data = from.data();
  to = std::move(from);
  EXPECT_EQ(to.data(), data);
  EXPECT_EQ(to.bytes(), 100);
  EXPECT_EQ(from.data() == nullptr, from.bytes() == 0);
}

TEST(BufferTest, AssigningABufferToItselfKeepsIt) {
  Buffer buffer(100);
  std::byte* const data = buffer.data();
  Buffer& same = buffer;
  buffer = std::move(same);
  EXPECT_EQ(buffer.data(), data);
  EXPECT_EQ(buffer.bytes(), 100);
}

TEST(ArrayTest, CountsElementsAndFills) {
  const Array<std::int32_t> array(5, -3);
  EXPECT_EQ(array.size(), 5);
  EXPECT_EQ(array.span().size(), 5u);
  for (const std::int32_t value : array.span()) EXPECT_EQ(value, -3);
}

TEST(ArrayTest, AMovedFromArrayIsEmptyAndNotALongViewOfNothing) {
  Array<double> from(8, 1.0);
  const Array<double> to(std::move(from));
  EXPECT_EQ(to.size(), 8);
  EXPECT_EQ(to[7], 1.0);
  EXPECT_EQ(from.size(), 0);
  EXPECT_TRUE(from.span().empty());
}

TEST(ArrayTest, MoveAssignmentNeverLeavesASizeBeyondItsMemory) {
  Array<double> small(2, 1.0), large(1000, 2.0);
  small = std::move(large);
  EXPECT_EQ(small.size(), 1000);
  for (const double value : small.span()) ASSERT_EQ(value, 2.0);
  for (const double value : large.span()) ASSERT_EQ(value, 1.0);  // whatever is left there must be readable
}

TEST(ArrayTest, ASizeWhoseBytesDoNotFitAnIndexIsAnError) {
  EXPECT_THROW(Array<double>(INT64_MAX / 4), Error);
  EXPECT_THROW(Array<double>(-1), Error);
}

}  // namespace
}  // namespace riverrun
