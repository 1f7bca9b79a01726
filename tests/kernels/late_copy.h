// Operands that come late: what a kernel on a GPU finds that does not wait for the one before it.
#pragma once

#include "core/stream.h"
#include "core/types.h"

namespace riverrun::kernels {

// Copies memory of the GPU, from 50 microseconds after the next kernel in the stream may have started.
void copy_late(void* to, const void* from, Index bytes, Stream stream);

}  // namespace riverrun::kernels
