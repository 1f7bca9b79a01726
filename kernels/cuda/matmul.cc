#include <algorithm>
#include <array>
#include <utility>

#include "core/error.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/matmul_few_rows.h"
#include "kernels/cuda/table.h"

namespace riverrun::kernels::cuda {

namespace {

FewRowsProduct product_of(const CudaMatrix& w, const MatmulArgs& args) {
  return {.M = args.M,
          .N = w.rows(),
          .K = w.cols(),
          .w_stride = w.stride(),
          .x_stride = args.x_stride == 0 ? w.cols() : args.x_stride,
          .x = args.x,
          .w = w.data(),
          .y = args.y,
          .y_type = args.y_type,
          .epilogue = args.epilogue};
}

// Products that go into one launch.
struct Waiting {
  DType type;
  std::size_t count = 0;
  std::array<FewRowsProduct, kMostProducts> products;

  void launch(Stream stream) {
    const std::span<const FewRowsProduct> all(products.data(), std::exchange(count, 0));
    if (all.empty()) return;
    type == DType::f32 ? few_rows_f32(all, stream) : few_rows_16(all, type, stream);
  }
};

}  // namespace

FewRowsGroup group_of(std::span<const FewRowsProduct> products, Index tile_rows, Index tile_columns) {
  FewRowsGroup group;
  for (const FewRowsProduct& product : products) {
    group.row_tiles = std::max(group.row_tiles, blocks_for(product.M, tile_rows));
    group.first_column[group.count + 1] = group.first_column[group.count] + blocks_for(product.N, tile_columns);
    group.products[group.count++] = product;
  }
  return group;
}

void matmul_few_rows(std::span<const MatmulArgs> products, Stream stream) {
  Waiting few{DType::f32}, many{DType::f32}, bf16{DType::bf16}, f16{DType::f16};
  for (const MatmulArgs& args : products) {
    const CudaMatrix& w = matrix_of(args);
    if (args.M == 0) continue;
    const FewRowsProduct product = product_of(w, args);
    Waiting& group = w.type() == DType::bf16 ? bf16 : w.type() == DType::f16 ? f16 : few_warps(product) ? few : many;
    group.products[group.count++] = product;
    if (group.count == group.products.size()) group.launch(stream);
  }
  for (Waiting* group : {&few, &many, &bf16, &f16}) group->launch(stream);
}

const CudaMatrix& matrix_of(const MatmulArgs& args) {
  const auto* w = dynamic_cast<const CudaMatrix*>(args.w);
  RR_CHECK(w != nullptr, "a matrix packed by another backend");
  RR_CHECK(args.y_type == DType::f32 || (args.y_type == w->type() && args.epilogue != Epilogue::add),
           "y of type ", name_of(args.y_type));
  RR_CHECK(args.x_stride == 0 || args.x_stride >= w->cols(), "rows of ", w->cols(), " elements, ",
           args.x_stride, " apart");
  return *w;
}

void matmul(std::span<const MatmulArgs> products, Stream stream) { matmul_few_rows(products, stream); }

}  // namespace riverrun::kernels::cuda
