// One single-threaded oneDNN product of a panel of rows with a slab of columns.
//
// oneDNN stays single-threaded here: the split over threads is ours (matmul.cc), so that nothing but a
// product's shape decides how it is computed.
#pragma once

#include <compare>
#include <string>

#include "core/types.h"

namespace riverrun::kernels::cpu {

// The part of an Epilogue that oneDNN computes. It would turn a NaN into 0 in relu_squared, which is
// therefore ours.
enum class PostOp { none, add, tanh, sigmoid, silu };

struct GemmShape {
  Index rows, n, k;  // x [rows, k] times w [n, k] gives y [rows, n]; x and y dense
  DType type, y_type;  // of both operands, and of y; i8: x is u8, y i32, without a post-op
  PostOp post_op;
  auto operator<=>(const GemmShape&) const = default;
};

class Gemm {
 public:
  virtual ~Gemm() = default;
  // `w` is packed by pack_slab. Any number of threads may run one Gemm at once.
  virtual void run(const void* x, const void* w, void* y) const = 0;
};

// Whether oneDNN multiplies operands of that type, bf16 or i8, faster than anything of ours on this machine: by AMX.
bool onednn_is_faster(DType type);

// The product of that shape, made once per process.
const Gemm& find_gemm(const GemmShape& shape);

// Where oneDNN wants W [n, k]: in blocks of `granule` columns (n itself when the layout cannot be cut), so
// that columns [c, ...) start at byte c / granule * granule_bytes, for every c that is a multiple of the
// granule.
struct PackedLayout {
  Index bytes;
  Index granule;
  Index granule_bytes;
  std::string blocking;  // strides and inner blocks, in words: what tells layouts of the same size apart
};
inline constexpr Index kMostGranules =
    16;  // a slab is granule * 2^j columns, up to this many granules, or the rest
PackedLayout packed_layout(Index n, Index k, DType type);

// Columns [first, first + columns) of the product, of a W [n, k] with that layout.
struct Slab {
  Index first, columns;
  Index k;
  DType type;
};
// How many columns, about `columns`, slabs have that can be packed each by itself: n when none can.
Index packed_apart(const PackedLayout& layout, Index n, Index columns);
// Packs a slab to its place in `packed`, where W begins; element (i, j) of the slab is `row_stride` * i +
// `col_stride` * j of `w`, in the operand type. Padding is zeroed.
void pack_slab(const void* w, Index row_stride, Index col_stride, const Slab& slab,
               const PackedLayout& layout, std::byte* packed);

}  // namespace riverrun::kernels::cpu
