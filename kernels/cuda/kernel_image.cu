#include "kernels/cuda/kernel_image.h"

#include "kernels/cuda/launch.h"

namespace riverrun::kernels::cuda {

namespace {
__global__ void any_kernel() {}
}  // namespace

bool has_kernels_for_this_gpu() {
  cudaFuncAttributes attributes;
  const cudaError_t error = cudaFuncGetAttributes(&attributes, any_kernel);
  if (error == cudaErrorNoKernelImageForDevice || error == cudaErrorInvalidDeviceFunction) {  // drivers say either
    (void)cudaGetLastError();  // it would be reported by the next launch
    return false;
  }
  check(error, "looking at a kernel");
  return true;
}

}  // namespace riverrun::kernels::cuda
