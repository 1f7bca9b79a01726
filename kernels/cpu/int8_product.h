// Exact int8 products without an instruction for them: every machine that oneDNN has no such product for.
//
// Integers are multiplied and added as fp32 numbers, which is exact up to 2^24, over few enough columns at a time.
#pragma once

#include "core/types.h"

namespace riverrun::kernels::cpu {

// Weights lie in blocks of kInt8Block rows of W, [k][row of the block], the last filled up with zeros.
inline constexpr Index kInt8Block = 16;

// Columns [0, columns) of sums = x w: x [rows, k] as u8, `w` the block of the first column, sums [rows, columns]. A sum
// that leaves 32 bits wraps.
void int8_product(const std::uint8_t* x, Index rows, Index k, const std::int8_t* w, Index columns, std::int32_t* sums);

}  // namespace riverrun::kernels::cpu
