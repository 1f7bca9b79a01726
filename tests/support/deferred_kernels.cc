#include "tests/support/deferred_kernels.h"

#include <sys/mman.h>

#include <atomic>
#include <cstring>
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/stream.h"

namespace riverrun::test {

namespace {

using namespace kernels;

const KernelTable* g_real = nullptr;

using Work = std::vector<std::function<void(Stream)>>;

// Launched and not yet run.
struct Order {
  Work work;
  Index run = 0;  // before it
  bool recording = false;
};

class DeferredRecording final : public Recording {
 public:
  explicit DeferredRecording(Work work) : work_(std::move(work)) {}
  void run(const Stream& stream) override {
    Work& work = static_cast<Order*>(stream.order)->work;
    work.insert(work.end(), work_.begin(), work_.end());
  }

 private:
  Work work_;
};

// Device memory is handed out once and never again, so that whoever holds on to it for too long finds NaNs.
class DeferredDevice final : public Device {
 public:
  DeferredDevice() {
    arena_ = static_cast<std::byte*>(mmap(nullptr, kArena, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
    RR_CHECK(arena_ != MAP_FAILED, "no address space for a device");
  }

  DeviceKind kind() const override { return DeviceKind::cuda; }
  void require(int) override {}
  std::string bus_id() override { return "deferred"; }
  Index free_bytes() override { return kArena - used_; }

  std::byte* allocate(Index bytes, Memory memory) override {
    if (bytes == 0) return nullptr;
    if (memory == Memory::shared) return host_device().allocate(bytes, memory);
    const std::scoped_lock lock(mutex_);
    std::byte* const at = arena_ + used_;
    used_ += (bytes + 63) / 64 * 64;
    RR_CHECK(used_ <= kArena, "the device has no more memory");
    reachable([&] { std::memset(at, 0xff, static_cast<std::size_t>(bytes)); });
    return at;
  }
  void free(std::byte* data, Index bytes, Memory memory) noexcept override {
    if (memory == Memory::shared) {
      std::memset(data, 0xff, static_cast<std::size_t>(bytes));
      return host_device().free(data, bytes, memory);
    }
    const std::scoped_lock lock(mutex_);
    reachable([&] { std::memset(data, 0xff, static_cast<std::size_t>(bytes)); });
  }

  bool reaches(const void*) override { return true; }

  void* open_order(bool) override { return new Order; }
  void close_order(void* order) noexcept override { delete static_cast<Order*>(order); }

  void copy(void* to, const void* from, Index bytes, const Stream& stream) override {
    synchronize(stream);
    if (bytes == 0) return;
    const std::scoped_lock lock(mutex_);
    reachable([&] { std::memcpy(to, from, static_cast<std::size_t>(bytes)); });
  }
  void synchronize(const Stream& stream) override {
    RR_CHECK(!order_of(stream).recording, "a wait in launches that are recorded");
    ++waits_;
    run_work(stream, std::ssize(order_of(stream).work));
  }
  Index waits() const { return waits_; }

  bool idle(const Stream& stream) override { return order_of(stream).work.empty(); }
  std::unique_ptr<Mark> mark(const Stream& stream) override {
    RR_CHECK(!order_of(stream).recording, "a mark in launches that are recorded");
    return std::make_unique<DeferredMark>(*this, stream);
  }
  std::unique_ptr<Recording> record(const Stream& stream, const std::function<void()>& launches) override {
    Order& order = order_of(stream);
    const auto before = std::exchange(order.work, {});
    order.recording = true;
    launches();
    order.recording = false;
    return std::make_unique<DeferredRecording>(std::exchange(order.work, before));
  }

  static Order& order_of(const Stream& stream) {
    RR_CHECK(stream.order != nullptr, "a stream without an order");
    return *static_cast<Order*>(stream.order);
  }

 private:
  // Work is done one launch at a time, as it is asked for.
  class DeferredMark final : public Mark {
   public:
    DeferredMark(DeferredDevice& device, const Stream& stream)
        : device_(device), stream_(stream), end_(order_of(stream).run + std::ssize(order_of(stream).work)) {}
    bool reached() override {
      if (order_of(stream_).run < end_) device_.run_work(stream_, 1);
      return order_of(stream_).run >= end_;
    }

   private:
    DeferredDevice& device_;
    Stream stream_;
    Index end_;
  };

  // The first `count` launches.
  void run_work(const Stream& stream, Index count) {
    Order& order = order_of(stream);
    const Work now(order.work.begin(), order.work.begin() + count);
    order.work.erase(order.work.begin(), order.work.begin() + count);
    order.run += count;
    const std::scoped_lock lock(mutex_);
    reachable([&] {
      for (const auto& run : now) run(host_stream(*stream.pool));
    });
  }

  std::atomic<Index> waits_ = 0;
  static constexpr Index kArena = Index{4} << 30;

  template <class Body>
  void reachable(Body body) {
    const auto bytes = static_cast<std::size_t>((used_ + 4095) / 4096 * 4096);
    const auto allow = [&](int rights) { RR_CHECK(bytes == 0 || mprotect(arena_, bytes, rights) == 0, "mprotect failed"); };
    allow(PROT_READ | PROT_WRITE);
    body();
    allow(PROT_NONE);
  }

  std::mutex mutex_;  // one stream at a time: another's host code would reach the memory meanwhile
  std::byte* arena_;
  Index used_ = 0;
};

DeferredDevice& device() {
  static DeferredDevice device;
  return device;
}

template <class T>
void keep(T* const*& host_array, std::vector<T*>& kept, Index size) {
  if (host_array == nullptr) return;
  kept.assign(host_array, host_array + size);
  host_array = kept.data();
}

// Arguments, with the host arrays they point to.
template <class Args>
struct Held {
  explicit Held(const Args& given) : args(given) {}
  Args args;
};

template <class Args>
struct HeldSegments {
  explicit HeldSegments(const Args& given) : args(given), segments(given.segments, given.segments + given.segment_count) {
    args.segments = segments.data();
  }
  Args args;
  std::vector<Segment> segments;
  std::vector<const float*> in;
  std::vector<float*> out;
};

template <class Args>
  requires requires(Args args) { args.state_in; }
struct Held<Args> : HeldSegments<Args> {
  explicit Held(const Args& given) : HeldSegments<Args>(given) {
    keep(this->args.state_in, this->in, given.segment_count);
    keep(this->args.state_out, this->out, given.segment_count);
  }
};

template <>
struct Held<ShiftMixArgs> : HeldSegments<ShiftMixArgs> {
  explicit Held(const ShiftMixArgs& given) : HeldSegments(given) {
    keep(args.rows_in, in, given.segment_count);
    keep(args.rows_out, out, given.segment_count);
    keep(args.mu, mu, given.mixes);
    keep(args.out, outputs, given.mixes);
  }
  std::vector<const float*> mu;
  std::vector<void*> outputs;
};

template <>
struct Held<DynamicMixArgs> {
  explicit Held(const DynamicMixArgs& given) : args(given) {
    keep(args.mu, mu, given.mixes);
    keep(args.delta, delta, given.mixes);
    keep(args.out, outputs, given.mixes);
  }
  DynamicMixArgs args;
  std::vector<const float*> mu, delta;
  std::vector<void*> outputs;
};

template <auto slot, class Args>
void launch(const Args& args, Stream stream) {
  DeferredDevice::order_of(stream).work.push_back(
      [held = std::make_shared<const Held<Args>>(args)](Stream host) { (g_real->*slot)(held->args, host); });
}

template <auto slot, class Args>
void defer(KernelTable& table, void (*KernelTable::*)(const Args&, Stream)) {
  table.*slot = launch<slot, Args>;
}

template <auto... slots>
void defer_all(KernelTable& table) {
  (defer<slots>(table, slots), ...);
}

void matmul(std::span<const MatmulArgs> products, Stream stream) {
  DeferredDevice::order_of(stream).work.push_back(
      [held = std::vector<MatmulArgs>(products.begin(), products.end())](Stream host) { g_real->matmul(held, host); });
}

std::unique_ptr<PackedMatrix> pack(const MatrixSource& source, DType operand, Stream stream) {
  return g_real->pack_matrix(source, operand, host_stream(*stream.pool));
}

}  // namespace

const KernelTable& deferred(const KernelTable& real) {
  static KernelTable table;
  RR_CHECK(g_real == nullptr || g_real == &real, "there is one deferred device in a process");
  g_real = &real;
  table = real;
  table.backend = "deferred";
  table.device = &device();
  table.pack_matrix = pack;
  table.pack_int8 = nullptr;
  table.matmul = matmul;
  using T = KernelTable;
  defer_all<&T::layer_norm, &T::embed, &T::shift_mix, &T::dynamic_mix, &T::gate, &T::gate_add, &T::token_matrix,
            &T::wkv4, &T::wkv6_decay, &T::wkv6, &T::wkv6_readout, &T::wkv7_inputs, &T::wkv7, &T::wkv7_readout, &T::log_prob,
            &T::pick_largest, &T::draw, &T::sum_rows>(table);
  return table;
}

Index deferred_waits() { return device().waits(); }

}  // namespace riverrun::test
