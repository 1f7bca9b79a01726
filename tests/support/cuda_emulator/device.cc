#include "device.h"

#include <atomic>
#include <cstring>
#include <limits>
#include <mutex>

#include "core/error.h"
#include "core/stream.h"
#include "emulator.h"

namespace riverrun::cuda_emulator {

namespace {

thread_local bool recording = false;
std::atomic<bool> may_record = true;
std::atomic<Index> free_now = std::numeric_limits<Index>::max();
std::atomic<Index> kept = 0, made = 0, run_count = 0;

EmulatedStream& order_of(const Stream& stream) {
  RR_CHECK(stream.order != nullptr, "a stream without an order");
  return *static_cast<EmulatedStream*>(stream.order);
}

class EmulatedRecording final : public Recording {
 public:
  explicit EmulatedRecording(std::vector<std::function<void()>> launches) : launches_(std::move(launches)) { ++kept, ++made; }
  ~EmulatedRecording() override { --kept; }

  void run(const Stream& stream) override {
    RR_CHECK(!recording && stream.order != nullptr, "a recording run in another");
    for (const auto& launch : launches_) launch();
    ++run_count;
  }

 private:
  std::vector<std::function<void()>> launches_;
};

class EmulatedDevice final : public Device {
 public:
  DeviceKind kind() const override { return DeviceKind::cuda; }
  void require(int) override {}
  std::string bus_id() override { return "emulated"; }
  Index free_bytes() override { return free_now; }

  std::byte* allocate(Index bytes, Memory memory) override {
    RR_CHECK(!recording, "memory asked for in launches that are recorded");
    std::byte* const data = host_device().allocate(bytes, memory);
    if (bytes > 0) std::memset(data, 0xff, static_cast<std::size_t>(bytes));
    count(bytes, memory);
    return data;
  }
  void free(std::byte* data, Index bytes, Memory memory) noexcept override {
    host_device().free(data, bytes, memory);
    count(-bytes, memory);
  }

  bool reaches(const void*) override { return true; }

  void* open_order(bool) override { return new EmulatedStream; }
  void close_order(void* order) noexcept override { delete static_cast<EmulatedStream*>(order); }

  void copy(void* to, const void* from, Index bytes, const Stream& stream) override {
    RR_CHECK(!recording, "a copy in launches that are recorded");
    host_device().copy(to, from, bytes, stream);
  }
  void synchronize(const Stream&) override { RR_CHECK(!recording, "a wait in launches that are recorded"); }
  bool idle(const Stream&) override {
    RR_CHECK(!recording, "a wait in launches that are recorded");
    return true;
  }
  std::unique_ptr<Mark> mark(const Stream&) override {
    RR_CHECK(!recording, "a mark in launches that are recorded");
    return nullptr;
  }

  std::unique_ptr<Recording> record(const Stream& stream, const std::function<void()>& launches) override {
    if (!may_record) return nullptr;
    RR_CHECK(!recording, "a recording within a recording");
    EmulatedStream& order = order_of(stream);
    struct Session {
      explicit Session(EmulatedStream& on) : order(on) { recording = order.recording = true; }
      ~Session() {
        recording = order.recording = false;
        order.launches.clear();
      }
      EmulatedStream& order;
    } const session(order);
    launches();
    return std::make_unique<EmulatedRecording>(std::move(order.launches));
  }

  MemoryUse use(Memory memory) {
    const std::scoped_lock lock(mutex_);
    return use_of(memory);
  }
  void forget_most() {
    const std::scoped_lock lock(mutex_);
    for (MemoryUse& use : use_) use.most = use.now;
  }

 private:
  MemoryUse& use_of(Memory memory) { return use_[memory == Memory::device ? 0 : 1]; }
  void count(Index bytes, Memory memory) noexcept {
    const std::scoped_lock lock(mutex_);
    MemoryUse& use = use_of(memory);
    use.now += bytes;
    use.most = std::max(use.most, use.now);
  }

  std::mutex mutex_;
  MemoryUse use_[2];
};

EmulatedDevice& the_device() {
  static EmulatedDevice device;
  return device;
}

}  // namespace

Device& device() { return the_device(); }
MemoryUse memory_use(Memory memory) { return the_device().use(memory); }
void forget_most_memory() { the_device().forget_most(); }
void set_free_bytes(Index bytes) { free_now = bytes; }
void allow_recording(bool allowed) { may_record = allowed; }
Recordings recordings() { return {kept, made, run_count}; }

}  // namespace riverrun::cuda_emulator
