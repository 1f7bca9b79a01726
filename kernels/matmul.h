// Matrix products: activations times a weight matrix that was packed once.
//
//   y[m][n] = epilogue( sum_k x[m][k] * W[n][k] )
//
// Identity contract: row m of y depends on row m of x alone, with the same bits whatever M is, whichever row of the
// call it is, and however many threads the stream has. Accumulation is fp32 (reference: fp64) in a fixed order.
#pragma once

#include <memory>
#include <span>

#include "core/stream.h"
#include "core/types.h"
#include "core/weight_storage.h"
#include "kernels/phase.h"

namespace riverrun::kernels {

enum class Epilogue {
  none,
  add,           // y += product; y is fp32
  tanh,
  sigmoid,
  relu_squared,  // max(0, product)^2
  silu,          // product * sigmoid(product)
};

// A weight matrix W [rows, cols] (rows: outputs, cols: inputs) in the backend's own layout and the operand type.
class PackedMatrix {
 public:
  virtual ~PackedMatrix() = default;
  virtual Index rows() const = 0;
  virtual Index cols() const = 0;
  virtual DType type() const = 0;   // operand type: that of x, and of the weights unless they are int8
  virtual Index bytes() const = 0;  // memory it holds
};

// Where the weights are read from: W[n][k] is element n * row_stride + k * col_stride of `data`, so that a matrix
// stored [in, out] is packed by swapping the strides. `storage` gives the memory of what is packed; when it is filled, nothing
// is read.
struct MatrixSource {
  const void* data;
  DType type;  // f32, bf16 or f16
  Index rows, cols, row_stride, col_stride;
  WeightStorage* storage = &private_weights();
};

struct MatmulArgs {
  Index M;                // rows of x and y; 0 does nothing
  const void* x;          // [M, cols] of w->type()
  const PackedMatrix* w;  // [rows, cols]
  void* y;                // [M, rows] of y_type; may not overlap x
  DType y_type;           // f32, or the operand type; f32 for Epilogue::add
  Epilogue epilogue;
  Index x_stride = 0;     // elements from a row of x to the next; 0: cols, dense
  Phase phase = Phase::prefill;
};

// `operand` is f32, bf16 or f16; a type the machine cannot multiply throws InputError that says so.
using PackMatrix = std::unique_ptr<PackedMatrix> (*)(const MatrixSource& source, DType operand, Stream stream);

// A slot pack_int8 gives the same matrix as 8-bit integers, one byte a weight; x and y have the types they had. Rows of
// W when they are packed and rows of x at every call become integers q in [-127, 127] with a scale each, as
// kernels/int8.h says, and
//
//   y[m][n] = epilogue( fp32(sum_k qx[m][k] * qw[n][k]) * (x_scale[m] * w_scale[n]) )
//
// The sum is exact and the rest is fp32 in this order, so that with Epilogue::none, add and relu_squared all backends
// give the same bits. A row of x with an infinity or a NaN in it becomes a row of NaN, a row of W a column of them.
// InputError when W has more than kMostInt8Cols columns: the sums would not fit 32 bits.
inline constexpr Index kMostInt8Cols = 0x7fffffff / (127 * 127);

// Products that do not depend on one another, and may be computed at the same time: no y of the call overlaps an x or another y of it.
// Each has the bits that it has alone.
using Matmul = void (*)(std::span<const MatmulArgs> products, Stream stream);

}  // namespace riverrun::kernels
