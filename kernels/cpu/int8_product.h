// Exact int8 products without an instruction for them.
//
// Integers are multiplied as pairs of 16 bits, which no product of two of them leaves, and added in 32.
#pragma once

#include "core/types.h"
#include "kernels/cpu/block_matrix.h"

namespace riverrun::kernels::cpu {

// Weights lie in blocks of kBlockRows rows of W, [k / 2][row of the block][2], the last block and an odd k filled up with zeros.
// Columns [0, columns) of sums = x w: x [rows, k] as u8, `w` the block of the first column, sums [rows, columns]. A sum
// that leaves 32 bits wraps.
void int8_product(const std::uint8_t* x, Index rows, Index k, const std::int8_t* w, Index columns, std::int32_t* sums);

}  // namespace riverrun::kernels::cpu
