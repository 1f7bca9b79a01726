#include "kernels/cuda/backend.h"

#include "kernels/cuda/gpu.h"
#include "kernels/cuda/matmul_few_rows.h"
#include "kernels/cuda/matmul_many_rows.h"
#include "kernels/cuda/table.h"

namespace riverrun::kernels::cuda {

namespace {

// By the phase and the shape of the matrix, never by the number of rows.
void matmul_by_phase(const MatmulArgs& args, Stream stream) {
  const CudaMatrix& w = matrix_of(args);
  if (args.phase == Phase::prefill && takes_many_rows(w, args)) {
    matmul_many_rows(w, args, stream);
  } else {
    matmul_few_rows(w, args, stream);
  }
}

}  // namespace

const KernelTable& backend() {
  static const KernelTable kTable = [] {
    KernelTable table = table_on(gpu());
    table.matmul = matmul_by_phase;
    return table;
  }();
  return kTable;
}

}  // namespace riverrun::kernels::cuda
