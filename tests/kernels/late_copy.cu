#include "late_copy.h"

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"

namespace riverrun::kernels {

namespace {

constexpr unsigned kBlocks = 64, kThreads = 256;

__global__ void late_copy_kernel(unsigned char* to, const unsigned char* from, Index bytes) {
  cuda::wait_for_previous();
  for (int i = 0; i < 50; ++i) __nanosleep(1000);
  for (Index at = Index{blockIdx.x} * kThreads + threadIdx.x; at < bytes; at += kBlocks * kThreads) to[at] = from[at];
}

}  // namespace

void copy_late(void* to, const void* from, Index bytes, Stream stream) {
  cuda::launch(late_copy_kernel, dim3(kBlocks), kThreads, 0, stream, static_cast<unsigned char*>(to), static_cast<const unsigned char*>(from),
               bytes);
}

}  // namespace riverrun::kernels
