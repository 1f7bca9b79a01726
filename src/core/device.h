// Device: the processor that kernels run on, as the host sees it: its memory, and the order of its work.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "core/types.h"

namespace riverrun {

enum class DeviceKind { cpu, cuda };

// Where memory lies. On a CPU there is no difference.
enum class Memory {
  device,  // only kernels reach it, and Device::copy
  shared,  // host memory that kernels read and write, too (CUDA: pinned)
};

struct Stream;

// Launches that were recorded, with all their arguments, to be run again as one: the same memory is read and written.
class Recording {
 public:
  // Not while it runs.
  virtual ~Recording() = default;
  // In the order of the stream, which is one of the same device. May return before the work is done, as a launch may.
  virtual void run(const Stream& stream) = 0;
};

// A point in the order of a stream's work.
class Mark {
 public:
  virtual ~Mark() = default;
  // Whether all work before it is done: what kernels wrote to shared memory can be read then. Error when one of them failed, or does
  // not end within minutes.
  virtual bool reached() = 0;
};

class Device {
 public:
  virtual ~Device() = default;
  virtual DeviceKind kind() const = 0;

  // InputError, saying why, when this machine does not have the device. Of several GPUs, processes of one node take one
  // each, by their rank on the node. Called once, before anything else is asked of the device.
  virtual void require(int rank_on_node) = 0;

  // Which device of its machine this is: CUDA: the PCI bus id. Empty on a CPU.
  virtual std::string bus_id() = 0;

  // Bytes of device memory that are left; the most there can be where nobody knows.
  virtual Index free_bytes() = 0;

  // At least 64-byte aligned, not initialised; null for no bytes. Error when there is not as much.
  virtual std::byte* allocate(Index bytes, Memory memory) = 0;
  // No kernel that was started uses the memory any more.
  virtual void free(std::byte* data, Index bytes, Memory memory) noexcept = 0;

  // Whether kernels reach what is there: device and shared memory, and whatever else the device can.
  virtual bool reaches(const void* data) = 0;

  // The order that a stream's work is done in; null on a CPU. Work of different streams has no order; what is urgent goes before what
  // waits in others.
  virtual void* open_order(bool urgent) = 0;
  virtual void close_order(void* order) noexcept = 0;

  // Copies after all earlier work of the stream, between any two kinds of memory. Done when it returns.
  virtual void copy(void* to, const void* from, Index bytes, const Stream& stream) = 0;
  // Returns when all earlier work of the stream is done: what kernels wrote to shared memory can be read then. Error
  // when one of them failed, or does not end within minutes.
  virtual void synchronize(const Stream& stream) = 0;
  // Whether synchronize() would return at once. Error likewise.
  virtual bool idle(const Stream& stream) = 0;
  // The present end of the stream's work, which goes on meanwhile; null where it is reached already. Not to be asked once the
  // stream's order is closed.
  virtual std::unique_ptr<Mark> mark(const Stream& stream) = 0;

  // Records what launches() launches in the stream, without running it; null, and launches() is not called, where nothing would be
  // gained (a CPU) or it is turned off. Error when launches() waits, copies, or takes memory.
  virtual std::unique_ptr<Recording> record(const Stream& stream, const std::function<void()>& launches) = 0;
};

// Memory of this process; kernels are done when their call returns.
Device& host_device();

}  // namespace riverrun
