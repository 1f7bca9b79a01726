// The rows of an int8 product on their way in and out (contract: kernels/matmul.h).
//
// x goes in as u8 = 128 + q: the instructions multiply u8 by s8, and the 128s come off again as 128 times the sum of
// a column's weights.
#pragma once

#include "core/types.h"
#include "kernels/matmul.h"

namespace riverrun::kernels::cpu {

inline constexpr int kInt8Offset = 128;

// Rows of x (f32 or bf16), `stride` elements apart, to rows of `size` bytes, q_stride apart, and their scales.
void quantise_rows(const void* x, DType type, Index stride, Index rows, Index size, std::uint8_t* q, Index q_stride, float* scales);

// One row of weights, returning its scale; 128 times the sum of its integers goes to `offset`.
float quantise_weights(const float* w, Index size, std::int8_t* q, std::int32_t* offset);

// y = epilogue(fp32(sums - offsets) * (x_scale * w_scale)), for a tile of the product.
struct Int8Tile {
  Index rows, columns;
  const std::int32_t* sums;     // [rows, columns], rows sums_stride apart
  Index sums_stride;
  const float* x_scales;        // [rows]
  const float* w_scales;        // [columns]
  const std::int32_t* offsets;  // [columns]
  void* y;                      // rows are y_stride elements apart
  Index y_stride;
  DType y_type;
  Epilogue epilogue;
};
void finish_tile(const Int8Tile& tile);

}  // namespace riverrun::kernels::cpu
