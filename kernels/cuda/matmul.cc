#include "core/error.h"
#include "kernels/cuda/matmul_few_rows.h"
#include "kernels/cuda/table.h"

namespace riverrun::kernels::cuda {

void matmul_few_rows(const CudaMatrix& w, const MatmulArgs& args, Stream stream) {
  const FewRowsParameters parameters = {.M = args.M,
                                        .N = w.rows(),
                                        .K = w.cols(),
                                        .w_stride = w.stride(),
                                        .x_stride = args.x_stride == 0 ? w.cols() : args.x_stride,
                                        .x = args.x,
                                        .w = w.data(),
                                        .y = args.y,
                                        .y_type = args.y_type,
                                        .epilogue = args.epilogue};
  w.type() == DType::f32 ? few_rows_f32(parameters, stream) : few_rows_16(parameters, w.type(), stream);
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

void matmul(const MatmulArgs& args, Stream stream) { matmul_few_rows(matrix_of(args), args, stream); }

}  // namespace riverrun::kernels::cuda
