#include "core/stream.h"

#include "core/device.h"

namespace riverrun {

void Stream::synchronize() const { device->synchronize(*this); }

Stream host_stream(ThreadPool& pool) { return {&host_device(), &pool, nullptr}; }

OwnStream::OwnStream(Device& device, ThreadPool& pool, bool urgent) : stream_{&device, &pool, device.open_order(urgent)} {}
OwnStream::~OwnStream() { stream_.device->close_order(stream_.order); }

}  // namespace riverrun
