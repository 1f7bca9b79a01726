// Stream: what a kernel is launched on, without a word of CUDA.
#pragma once

namespace riverrun {

class Device;
class ThreadPool;

// On a CPU the work is done when a launch returns, by the pool's threads; on a GPU it is done in the stream's order
// after the launch has returned. A Stream owns nothing.
struct Stream {
  Device* device = nullptr;    // never null
  ThreadPool* pool = nullptr;  // of the host; never null
  void* order = nullptr;       // Device::open_order(); CUDA: a cudaStream_t

  void synchronize() const;
};

Stream host_stream(ThreadPool& pool);

// A Stream with an order of its own.
class OwnStream {
 public:
  OwnStream(Device& device, ThreadPool& pool, bool urgent = false);
  ~OwnStream();
  OwnStream(const OwnStream&) = delete;
  OwnStream& operator=(const OwnStream&) = delete;

  operator Stream() const { return stream_; }

 private:
  Stream stream_;
};

}  // namespace riverrun
