#include "kernels/cuda/backend.h"

#include <vector>

#include "kernels/cuda/gpu.h"
#include "kernels/cuda/matmul_few_rows.h"
#include "kernels/cuda/matmul_many_rows.h"
#include "kernels/cuda/table.h"

namespace riverrun::kernels::cuda {

namespace {

// By the phase and the shape of the matrix, never by the number of rows.
void matmul_by_phase(std::span<const MatmulArgs> products, Stream stream) {
  std::vector<MatmulArgs> few;
  for (const MatmulArgs& args : products) {
    const CudaMatrix& w = matrix_of(args);
    if (args.phase == Phase::prefill && takes_many_rows(w, args)) {
      matmul_many_rows(w, args, stream);
    } else {
      few.push_back(args);
    }
  }
  matmul_few_rows(few, stream);
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
