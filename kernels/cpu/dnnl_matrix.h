// DnnlMatrix: weights in oneDNN's layout; and one task of a product with them.
#pragma once

#include "core/weight_storage.h"
#include "kernels/cpu/dnnl_gemm.h"
#include "kernels/matmul.h"

namespace riverrun::kernels::cpu {

// The tallest panel. 64 rows reach oneDNN's full speed on every shape of a model; more only coarsen the
// split.
inline constexpr Index kPanelRows = 64;

class DnnlMatrix final : public PackedMatrix {
 public:
  DnnlMatrix(const MatrixSource& source, DType operand, ThreadPool& pool);

  Index rows() const override { return rows_; }
  Index cols() const override { return cols_; }
  DType type() const override { return type_; }
  Index bytes() const override { return data_.bytes(); }

  // Columns [c, ...) of the product, c a multiple of granule(), need slab(c) of the weights only.
  Index granule() const { return layout_.granule; }
  bool sliceable() const { return layout_.granule < rows_; }
  const void* slab(Index column) const {
    return data_.data() + column / layout_.granule * layout_.granule_bytes;
  }

  // Whether every product is computed in panels of kPanelRows rows and all columns, because oneDNN gives other bits in other shapes on
  // this machine (row_identity.h).
  bool fixed_panels() const { return fixed_panels_; }
  void fix_panels() { fixed_panels_ = true; }

 private:
  Index rows_, cols_;
  DType type_;
  PackedLayout layout_;
  WeightMemory data_;
  bool fixed_panels_ = false;
};

// Rows [0, rows) and columns [column, column + columns) of a product; rows <= kPanelRows.
struct Panel {
  Index rows;
  Index column, columns;
  const void* x;   // first row of the panel
  Index x_stride;  // elements from a row of x to the next
  void* y;         // first row of the panel, column 0; rows are w.rows() apart
  DType y_type;
  Epilogue epilogue;
};
void run_panel(const DnnlMatrix& w, const Panel& panel);

}  // namespace riverrun::kernels::cpu
