// Whether this build fits the GPU.
#pragma once

namespace riverrun::kernels::cuda {

// Of the GPU that this thread has chosen. Kernels are compiled for some compute capabilities only.
bool has_kernels_for_this_gpu();

}  // namespace riverrun::kernels::cuda
