#include "kernels/cuda/gpu.h"

#include <cxxabi.h>
#include <unistd.h>

#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <mutex>

#include "core/log.h"
#include "core/poll.h"
#include "kernels/cuda/cublas_lt.h"
#include "kernels/cuda/free_lists.h"
#include "kernels/cuda/graph.h"
#include "kernels/cuda/kernel_image.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/switches.h"

namespace riverrun::kernels::cuda {

namespace {

constexpr int kLeastCapability = 8;  // 8.0: bf16 products, asynchronous copies to shared memory

// Longer than any work that is waited for in one piece: of a block's layers, or of a step of texts. Tests want to know sooner.
std::chrono::seconds most_wait() {
  const char* const named = std::getenv("RIVERRUN_GPU_DEADLINE");
  if (named == nullptr) return std::chrono::minutes(10);
  int seconds = 0;
  const auto [end, error] = std::from_chars(named, named + std::strlen(named), seconds);
  RR_CHECK_INPUT(error == std::errc() && *end == 0 && seconds > 0, "the environment variable RIVERRUN_GPU_DEADLINE is '", named,
                 "', but must be a number of seconds");
  return std::chrono::seconds(seconds);
}

// For compute-sanitizer: memory comes from CUDA and goes back to it piece by piece, as large as it was asked for.
bool checked_memory() { return std::getenv("RIVERRUN_GPU_CHECKED_MEMORY") != nullptr; }

// CUDA's own steps at the end of a process would wait for the kernel that hangs. Registered last, this comes before them, and before anything
// else that is done at the end.
void leave_without_waiting() {
  const auto leave = [](int status, void*) {
    std::fflush(nullptr);
    _exit(status);
  };
  if (on_exit(leave, nullptr) != 0) log_warning("the end of this process may wait for a kernel that hangs");
}

// Of the kernel that this thread launched last, as in the source.
std::string last_kernel() {
  const char* name = nullptr;
  if (last_launched() == nullptr || cudaFuncGetName(&name, last_launched()) != cudaSuccess) return "none";
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> readable(abi::__cxa_demangle(name, nullptr, nullptr, &status), std::free);
  return status == 0 ? readable.get() : name;
}

// True, or false when it is still to come.
bool is_done(cudaError_t asked) {
  if (asked == cudaErrorNotReady) {
    (void)cudaGetLastError();  // it would be reported by the next launch
    return false;
  }
  check(asked, concat("the GPU's work (launched last: ", last_kernel(), ")").c_str());
  return true;
}

class EventMark final : public Mark {
 public:
  // late(): called when it is not reached by `deadline`.
  EventMark(cudaStream_t stream, std::chrono::steady_clock::time_point deadline, std::function<void()> late)
      : deadline_(deadline), late_(std::move(late)) {
    check(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), "an event");
    const cudaError_t recorded = cudaEventRecord(event_, stream);
    if (recorded != cudaSuccess) (void)cudaEventDestroy(event_);
    check(recorded, "recording an event");
  }
  ~EventMark() override { (void)cudaEventDestroy(event_); }
  EventMark(const EventMark&) = delete;
  EventMark& operator=(const EventMark&) = delete;

  bool reached() override {
    if (is_done(cudaEventQuery(event_))) return true;
    if (std::chrono::steady_clock::now() >= deadline_) late_();
    return false;
  }

 private:
  cudaEvent_t event_ = nullptr;
  std::chrono::steady_clock::time_point deadline_;
  std::function<void()> late_;
};

class Gpu final : public Device {
 public:
  DeviceKind kind() const override { return DeviceKind::cuda; }

  void require(int rank_on_node) override {
    int count = 0;
    const cudaError_t error = cudaGetDeviceCount(&count);
    RR_CHECK_INPUT(error == cudaSuccess && count > 0, "--backend cuda: this machine has no GPU that can be used (",
                   error == cudaSuccess ? "none is visible" : cudaGetErrorString(error),
                   "); see what nvidia-smi and CUDA_VISIBLE_DEVICES say, or use --backend cpu");
    ordinal_ = rank_on_node % count;
    cudaDeviceProp properties;
    check(cudaGetDeviceProperties(&properties, ordinal_), "properties of the GPU");
    RR_CHECK_INPUT(properties.major >= kLeastCapability, "--backend cuda: GPU ", ordinal_, " (", properties.name,
                   ") has compute capability ", properties.major, ".", properties.minor, "; riverrun needs 8.0 or later");
    use();
    // What is missing shows now, not in the middle of a job.
    RR_CHECK_INPUT(has_kernels_for_this_gpu(), "--backend cuda: this build has no kernels for GPU ", ordinal_, " (", properties.name,
                   "); build with -DCMAKE_CUDA_ARCHITECTURES=", properties.major, properties.minor);
    (void)cublas_lt();
    keep_scratch();
  }

  std::string bus_id() override {
    char text[32];
    check(cudaDeviceGetPCIBusId(text, sizeof text, ordinal_), "the GPU's place");
    return text;
  }

  Index free_bytes() override {
    use();
    std::size_t left = 0, total = 0;
    check(cudaMemGetInfo(&left, &total), "memory of the GPU");
    const std::scoped_lock lock(mutex_);
    return static_cast<Index>(left) + device_.bytes();
  }

  std::byte* allocate(Index bytes, Memory memory) override {
    RR_CHECK(bytes >= 0, "memory of ", bytes, " bytes");
    RR_CHECK(!capturing(), "memory asked for in launches that are recorded");
    if (bytes == 0) return nullptr;
    const Index size = checked_memory_ ? bytes : rounded_size(bytes);
    const std::scoped_lock lock(mutex_);
    use();  // of a thread that has come anew, too: what it launches next is for this GPU
    FreeLists& freed = memory == Memory::device ? device_ : shared_;
    if (std::byte* const data = freed.take(size)) return data;
    freed.expect(size);
    void* data = nullptr;
    cudaError_t error = ask_for(&data, size, memory);
    if (error == cudaErrorMemoryAllocation) {
      (void)cudaGetLastError();  // it would be reported by the next launch
      clear_lists();
      check(cudaMemPoolTrimTo(scratch_pool(), 0), "giving back scratch memory");
      error = ask_for(&data, size, memory);
    }
    if (error == cudaErrorMemoryAllocation) {
      (void)cudaGetLastError();
      throw Error(no_memory(size, memory));
    }
    check(error, "memory");
    return static_cast<std::byte*>(data);
  }

  void give_back_freed() {
    const std::scoped_lock lock(mutex_);
    use();
    clear_lists();
  }

  void free(std::byte* data, Index bytes, Memory memory) noexcept override {
    const std::scoped_lock lock(mutex_);
    if (checked_memory_) {  // an error of the GPU shows when it is waited for
      if (data != nullptr) (void)(memory == Memory::device ? cudaFree(data) : cudaFreeHost(data));
      return;
    }
    (memory == Memory::device ? device_ : shared_).give(data, rounded_size(bytes));
  }

  bool reaches(const void* data) override {
    use();
    cudaPointerAttributes attributes;
    check(cudaPointerGetAttributes(&attributes, data), "what kind of memory it is");
    return attributes.type != cudaMemoryTypeUnregistered;
  }

  void* open_order(bool urgent) override {
    use();
    int least = 0, greatest = 0;  // a greater priority has a lower number
    check(cudaDeviceGetStreamPriorityRange(&least, &greatest), "priorities of streams");
    cudaStream_t stream = nullptr;
    check(cudaStreamCreateWithPriority(&stream, cudaStreamNonBlocking, urgent ? greatest : least), "a new stream");
    return stream;
  }
  void close_order(void* order) noexcept override {
    (void)cudaStreamDestroy(static_cast<cudaStream_t>(order));  // what it could report, synchronize() has reported
  }

  // Waits before, too: a copy from or to memory that is not pinned would itself wait for earlier work, for ever if need be.
  void copy(void* to, const void* from, Index bytes, const Stream& stream) override {
    if (bytes == 0) return;
    await(stream, "work before a copy");
    check(cudaMemcpyAsync(to, from, static_cast<std::size_t>(bytes), cudaMemcpyDefault, native(stream)), "a copy");
    await(stream, "a copy");
  }
  void synchronize(const Stream& stream) override { await(stream, "launched work"); }
  bool idle(const Stream& stream) override {
    RR_CHECK(!capturing(), "a question to launches that are recorded");
    return is_done(cudaStreamQuery(native(stream)));
  }
  std::unique_ptr<Mark> mark(const Stream& stream) override {
    RR_CHECK(!capturing(), "a mark in launches that are recorded");
    use();
    return std::make_unique<EventMark>(native(stream), std::chrono::steady_clock::now() + most_wait_, [this] { give_up("launched work"); });
  }

  std::unique_ptr<Recording> record(const Stream& stream, const std::function<void()>& launches) override {
    if (!is_on(kGraphsSwitch)) return nullptr;
    use();
    return capture_graph(stream, launches);
  }

 private:
  // CUDA keeps the chosen GPU per thread.
  void use() const { check(cudaSetDevice(ordinal_), "choosing the GPU"); }

  // cudaStreamSynchronize would wait for ever for a kernel that hangs. Nothing is waited for a second time.
  void await(const Stream& stream, const char* what) {
    RR_CHECK(!capturing(), "a wait for ", what, " in launches that are recorded");
    RR_CHECK(!hangs_, "GPU ", ordinal_, " did not finish earlier work");
    use();
    if (!poll_until([&] { return idle(stream); }, most_wait_)) give_up(what);
  }
  [[noreturn]] void give_up(const char* what) {
    if (!hangs_.exchange(true)) leave_without_waiting();
    throw Error(concat("GPU ", ordinal_, " has not finished ", what, " in ", most_wait_.count(), " s (launched last: ", last_kernel(),
                       "): a kernel hangs, or the GPU is lost; see what nvidia-smi and dmesg say"));
  }

  void clear_lists() {
    device_.clear([](std::byte* at) { check(cudaFree(at), "giving back memory of the GPU"); });
    shared_.clear([](std::byte* at) { check(cudaFreeHost(at), "giving back pinned memory"); });
  }

  cudaMemPool_t scratch_pool() const {
    cudaMemPool_t pool = nullptr;
    check(cudaDeviceGetDefaultMemPool(&pool, ordinal_), "the pool of scratch memory");
    return pool;
  }
  // What products return to the pool would otherwise go back to the driver whenever the stream is waited for.
  void keep_scratch() const {
    std::uint64_t all = std::numeric_limits<std::uint64_t>::max();
    check(cudaMemPoolSetAttribute(scratch_pool(), cudaMemPoolAttrReleaseThreshold, &all), "the pool of scratch memory");
  }

  static cudaError_t ask_for(void** data, Index size, Memory memory) {
    return memory == Memory::device ? cudaMalloc(data, static_cast<std::size_t>(size))
                                    : cudaHostAlloc(data, static_cast<std::size_t>(size), cudaHostAllocPortable | cudaHostAllocMapped);
  }

  std::string no_memory(Index size, Memory memory) const {
    if (memory == Memory::shared) return concat("no ", size >> 20, " MiB of memory that can be pinned for the GPU (see ulimit -l)");
    std::size_t left = 0, total = 0;
    check(cudaMemGetInfo(&left, &total), "memory of the GPU");
    return concat("GPU ", ordinal_, " has no ", size >> 20, " MiB left: ", left >> 20, " of its ", total >> 20,
                  " MiB are free; use fewer --block-tokens, a smaller model, or more GPUs");
  }

  std::mutex mutex_;
  int ordinal_ = 0;
  std::atomic<bool> hangs_ = false;
  const std::chrono::seconds most_wait_ = most_wait();
  const bool checked_memory_ = checked_memory();
  FreeLists device_, shared_;
};

// Never destroyed: at the end of the process CUDA may be gone already.
Gpu& own_gpu() {
  static Gpu* const device = new Gpu;
  return *device;
}

}  // namespace

Device& gpu() { return own_gpu(); }

void give_back_freed() { own_gpu().give_back_freed(); }

}  // namespace riverrun::kernels::cuda
