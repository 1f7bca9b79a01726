#include "kernels/cuda/apply_epilogue.h"

#include "kernels/cuda/epilogue.cuh"
#include "kernels/cuda/launch.h"

namespace riverrun::kernels::cuda {

namespace {

constexpr unsigned kThreads = 256;

__global__ void apply_epilogue_kernel(ApplyEpilogueArgs args) {
  wait_for_previous();
  const Index at = Index{blockIdx.x} * blockDim.x + threadIdx.x;
  if (at < args.size) finish(args.epilogue, args.y, args.y_type, at, args.product[at]);
}

}  // namespace

void apply_epilogue(const ApplyEpilogueArgs& args, Stream stream) {
  launch(apply_epilogue_kernel, dim3(blocks_for(args.size, kThreads)), kThreads, 0, stream, args);
}

}  // namespace riverrun::kernels::cuda
