// CUDA graphs: launches that were captured once and are started again as one.
#pragma once

#include <functional>
#include <memory>

#include "core/device.h"
#include "core/stream.h"

namespace riverrun::kernels::cuda {

// Device::record of the stream's GPU, which the calling thread has chosen. Launches of other threads are no part of it and go on.
std::unique_ptr<Recording> capture_graph(const Stream& stream, const std::function<void()>& launches);

// Whether this thread is in capture_graph: what makes the host wait or takes memory is an error there.
bool capturing();

}  // namespace riverrun::kernels::cuda
