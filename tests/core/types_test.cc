// Element conversions: every weight and every half-precision activation passes through them, so all 65,536 values
// of both 16-bit types are checked, and rounding is compared with a search that shares nothing with the code.
#include "core/types.h"

#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "core/error.h"

namespace riverrun {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// The value of a binary16 or bfloat16 by its definition; not for infinities and NaN.
double value_of(std::uint32_t bits, int fraction_bits, int bias) {
  const int exponent = static_cast<int>((bits & 0x7fffu) >> fraction_bits);
  const double fraction = bits & ((1u << fraction_bits) - 1);
  const double magnitude = exponent == 0 ? std::ldexp(fraction, 1 - bias - fraction_bits)
                                         : std::ldexp(fraction + (1 << fraction_bits), exponent - bias - fraction_bits);
  return (bits & 0x8000u) ? -magnitude : magnitude;
}
double f16_value(std::uint32_t bits) { return value_of(bits, 10, 15); }
double bf16_value(std::uint32_t bits) { return value_of(bits, 7, 127); }

bool same_bits(float a, float b) { return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b); }

TEST(Float16Test, EveryValueIsReadAsDefined) {
  for (std::uint32_t bits = 0; bits <= 0xffff; ++bits) {
    const float value = f16_to_float(static_cast<std::uint16_t>(bits));
    if ((bits & 0x7c00u) != 0x7c00u) {
      ASSERT_TRUE(same_bits(value, static_cast<float>(f16_value(bits)))) << std::hex << bits;
    } else if ((bits & 0x3ffu) == 0) {
      ASSERT_EQ(value, (bits & 0x8000u) ? -kInfinity : kInfinity) << std::hex << bits;
    } else {
      ASSERT_TRUE(std::isnan(value)) << std::hex << bits;
    }
  }
}

TEST(Float16Test, EveryValueComesBackFromFp32) {
  for (std::uint32_t bits = 0; bits <= 0xffff; ++bits) {
    const std::uint16_t back = float_to_f16(f16_to_float(static_cast<std::uint16_t>(bits)));
    if ((bits & 0x7c00u) == 0x7c00u && (bits & 0x3ffu) != 0) {
      ASSERT_TRUE(std::isnan(f16_to_float(back))) << std::hex << bits;
    } else {
      ASSERT_EQ(back, bits);
    }
  }
}

TEST(Bfloat16Test, EveryValueIsReadAsDefinedAndComesBack) {
  for (std::uint32_t bits = 0; bits <= 0xffff; ++bits) {
    const float value = bf16_to_float(static_cast<std::uint16_t>(bits));
    if ((bits & 0x7f80u) != 0x7f80u) {
      ASSERT_TRUE(same_bits(value, static_cast<float>(bf16_value(bits)))) << std::hex << bits;
    }
    if (std::isnan(value)) {
      ASSERT_TRUE(std::isnan(bf16_to_float(float_to_bf16(value)))) << std::hex << bits;
    } else {
      ASSERT_EQ(float_to_bf16(value), bits);
    }
  }
}

// Between any two neighbours: the midpoint goes to the even one, a hair to either side goes to the nearer one.
void check_rounding(std::uint16_t (*round)(float), double (*value)(std::uint32_t), std::uint32_t last_finite,
                    std::uint32_t sign) {
  for (std::uint32_t low = 0; low < last_finite; ++low) {
    const std::uint32_t high = low + 1;
    const auto middle = static_cast<float>((value(low) + value(high)) / 2);  // exact: one bit more than the type has
    const float s = sign ? -1.0f : 1.0f;
    ASSERT_EQ(round(s * middle), ((low & 1u) ? high : low) | sign) << std::hex << low;
    ASSERT_EQ(round(s * std::nextafter(middle, 0.0f)), low | sign) << std::hex << low;
    ASSERT_EQ(round(s * std::nextafter(middle, kInfinity)), high | sign) << std::hex << low;
  }
}

TEST(Float16Test, RoundsToNearestAndTiesToEvenBetweenAllNeighbours) {
  for (const std::uint32_t sign : {0u, 0x8000u}) check_rounding(float_to_f16, f16_value, 0x7bff, sign);
}

TEST(Bfloat16Test, RoundsToNearestAndTiesToEvenBetweenAllNeighbours) {
  for (const std::uint32_t sign : {0u, 0x8000u}) check_rounding(float_to_bf16, bf16_value, 0x7f7f, sign);
}

TEST(Float16Test, OverflowBeginsHalfAStepAboveTheLargest) {
  EXPECT_EQ(float_to_f16(65504.0f), 0x7bff);
  EXPECT_EQ(float_to_f16(std::nextafter(65520.0f, 0.0f)), 0x7bff);
  EXPECT_EQ(float_to_f16(65520.0f), 0x7c00);
  EXPECT_EQ(float_to_f16(-65520.0f), 0xfc00);
  EXPECT_EQ(float_to_f16(std::numeric_limits<float>::max()), 0x7c00);
  EXPECT_EQ(float_to_f16(-kInfinity), 0xfc00);
}

TEST(Bfloat16Test, OverflowBeginsHalfAStepAboveTheLargest) {
  EXPECT_EQ(float_to_bf16(std::bit_cast<float>(0x7f7f7fffu)), 0x7f7f);
  EXPECT_EQ(float_to_bf16(std::bit_cast<float>(0x7f7f8000u)), 0x7f80);
  EXPECT_EQ(float_to_bf16(-std::numeric_limits<float>::max()), 0xff80);
  EXPECT_EQ(float_to_bf16(kInfinity), 0x7f80);
}

TEST(ConversionTest, TheSmallestFloatsKeepOnlyTheirSign) {
  const float tiny = std::numeric_limits<float>::denorm_min();
  EXPECT_EQ(float_to_f16(tiny), 0x0000);
  EXPECT_EQ(float_to_f16(-tiny), 0x8000);
  EXPECT_EQ(float_to_bf16(-tiny), 0x8000);
  EXPECT_TRUE(same_bits(f16_to_float(0x8000), -0.0f));
}

TEST(ConversionTest, NoNanTurnsIntoANumberOrInfinity) {
  // Payloads in the low bits only are what a plain cut or a carry from rounding would lose.
  for (const std::uint32_t bits : {0x7f800001u, 0x7f80ffffu, 0x7fffffffu, 0xff800001u, 0xffffffffu, 0x7fc00000u}) {
    const auto value = std::bit_cast<float>(bits);
    EXPECT_TRUE(std::isnan(f16_to_float(float_to_f16(value)))) << std::hex << bits;
    EXPECT_TRUE(std::isnan(bf16_to_float(float_to_bf16(value)))) << std::hex << bits;
    EXPECT_EQ(std::signbit(bf16_to_float(float_to_bf16(value))), std::signbit(value)) << std::hex << bits;
  }
}

TEST(LoadStoreTest, EveryFloatingTypeKeepsWhatItCanHold) {
  for (const DType type : {DType::f64, DType::f32, DType::bf16, DType::f16}) {
    std::vector<std::byte> memory(static_cast<std::size_t>(4 * size_of(type)), std::byte{0xff});
    const float values[] = {0.0f, -1.5f, 0.0078125f, kInfinity};
    for (Index at = 0; at < 4; ++at) store_float(memory.data(), type, at, values[at]);
    for (Index at = 0; at < 4; ++at) EXPECT_EQ(load_float(memory.data(), type, at), values[at]) << name_of(type);
    store_float(memory.data(), type, 2, kNan);
    EXPECT_TRUE(std::isnan(load_float(memory.data(), type, 2))) << name_of(type);
    EXPECT_EQ(load_float(memory.data(), type, 1), -1.5f) << name_of(type) << ": a store touched its neighbour";
  }
}

TEST(LoadStoreTest, AnIntegerTypeIsAnErrorThatNamesIt) {
  std::int64_t memory = 0;
  for (const DType type : {DType::i64, DType::i32, DType::i16, DType::i8, DType::u8, DType::boolean}) {
    try {
      load_float(&memory, type, 0);
      ADD_FAILURE() << "loaded a float from " << name_of(type);
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(name_of(type)), std::string::npos) << error.what();
    }
    EXPECT_THROW(store_float(&memory, type, 0, 1.0f), Error);
  }
  EXPECT_EQ(memory, 0);
}

TEST(DTypeTest, SizesAndNamesBelongToTheirTypes) {
  const struct { DType type; Index size; const char* name; } expected[] = {
      {DType::f64, 8, "fp64"},  {DType::f32, 4, "fp32"},  {DType::bf16, 2, "bf16"}, {DType::f16, 2, "fp16"},
      {DType::i64, 8, "int64"}, {DType::i32, 4, "int32"}, {DType::i16, 2, "int16"}, {DType::i8, 1, "int8"},
      {DType::u8, 1, "uint8"},  {DType::boolean, 1, "bool"}};
  for (const auto& [type, size, name] : expected) {
    EXPECT_EQ(size_of(type), size);
    EXPECT_STREQ(name_of(type), name);
  }
}

}  // namespace
}  // namespace riverrun
