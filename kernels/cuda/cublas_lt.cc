#include "kernels/cuda/cublas_lt.h"

#include "core/dynamic_library.h"
#include "core/error.h"

namespace riverrun::kernels::cuda {

namespace {

#define RIVERRUN_NAME_OF(number) #number
#define RIVERRUN_LIBRARY(major) "libcublasLt.so." RIVERRUN_NAME_OF(major)
constexpr const char* kLibrary = RIVERRUN_LIBRARY(CUBLAS_VER_MAJOR);

template <class Function>
void find(void* library, const char* name, Function& function) {
  RR_CHECK(find_function(library, name, function), kLibrary, " has no ", name);
}

CublasLt load() {
  void* const library = load_library(kLibrary, RIVERRUN_CUDA_LIBRARIES, "--backend cuda", "install cuBLAS, or put its folder into LD_LIBRARY_PATH");
  CublasLt lt;
  find(library, "cublasLtCreate", lt.create);
  find(library, "cublasLtGetStatusString", lt.status_string);
  find(library, "cublasLtMatmulDescCreate", lt.operation_create);
  find(library, "cublasLtMatmulDescDestroy", lt.operation_destroy);
  find(library, "cublasLtMatmulDescSetAttribute", lt.operation_set);
  find(library, "cublasLtMatrixLayoutCreate", lt.layout_create);
  find(library, "cublasLtMatrixLayoutDestroy", lt.layout_destroy);
  find(library, "cublasLtMatmulPreferenceCreate", lt.preference_create);
  find(library, "cublasLtMatmulPreferenceDestroy", lt.preference_destroy);
  find(library, "cublasLtMatmulPreferenceSetAttribute", lt.preference_set);
  find(library, "cublasLtMatmulAlgoGetHeuristic", lt.choose);
  find(library, "cublasLtMatmulAlgoCheck", lt.check);
  find(library, "cublasLtMatmulAlgoConfigGetAttribute", lt.algorithm_get);
  find(library, "cublasLtMatmul", lt.multiply);
  return lt;
}

}  // namespace

const CublasLt& cublas_lt() {
  static const CublasLt kLibraryFunctions = load();
  return kLibraryFunctions;
}

}  // namespace riverrun::kernels::cuda
