// Device and Stream: where a kernel runs, without a word of CUDA.
#pragma once

#include "core/thread_pool.h"

namespace riverrun {

enum class DeviceKind { cpu, cuda };

// What a kernel is launched on. On the CPU the work is done when the call returns, by the pool's threads; on a GPU
// `native` is the device's stream and the call returns at once. A Stream owns nothing.
struct Stream {
  DeviceKind device = DeviceKind::cpu;
  ThreadPool* pool = nullptr;  // CPU: never null
  void* native = nullptr;      // CUDA: a cudaStream_t
};

}  // namespace riverrun
