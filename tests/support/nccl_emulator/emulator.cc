#include "tests/support/nccl_emulator/emulator.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/stream.h"
#include "nccl.h"
#include "transport/nccl_library.h"

namespace {

using namespace std::chrono_literals;

std::atomic<int> g_open{0}, g_groups{0}, g_failing_group{-1}, g_abort_ms{0};

void sleep_at_random() {
  static thread_local std::minstd_rand random(static_cast<unsigned>(getpid()));
  std::this_thread::sleep_for(1us * (random() % 300));
}

// Does one thing after the other, on a thread of its own.
class Worker {
 public:
  Worker() : thread_([this] { run(); }) {}
  ~Worker() { end(); }
  void end() {
    {
      const std::scoped_lock lock(mutex_);
      ending_ = true;
    }
    changed_.notify_all();
    if (thread_.joinable()) thread_.join();
  }
  void add(std::function<void()> job) {
    const std::scoped_lock lock(mutex_);
    jobs_.push_back(std::move(job));
    ++left_;
    changed_.notify_all();
  }
  int left() const { return left_; }

 private:
  void run() {
    while (true) {
      std::function<void()> job;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return ending_ || !jobs_.empty(); });
        if (jobs_.empty()) return;
        job = std::move(jobs_.front());
        jobs_.pop_front();
      }
      job();
      --left_;
    }
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> jobs_;
  std::atomic<int> left_{0};
  bool ending_ = false;
  std::thread thread_;  // last: it uses the others
};

}  // namespace

struct EmulatedStream {
  Worker worker;
};

// Either side of a connection of two.
struct ncclComm {
  ncclComm(int rank_, const ncclUniqueId& id) : rank(rank_) {
    ++g_open;
    host.add([this, name = std::string(id.internal)] { connect(name); });
  }

  void connect(const std::string& name) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;  // a name that begins with 0 is in no folder
    std::memcpy(address.sun_path + 1, name.data(), name.size());
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
    const auto* const at = reinterpret_cast<const sockaddr*>(&address);
    const int end = ::socket(AF_UNIX, SOCK_STREAM, 0);
    if (rank == 0) {
      if (::bind(end, at, length) != 0 || ::listen(end, 1) != 0) return fail(ncclSystemError);
      while (!ready(end, POLLIN)) {
        if (aborted) return fail(ncclInternalError);
      }
      socket = ::accept(end, nullptr, nullptr);
      ::close(end);
    } else {
      while (::connect(end, at, length) != 0) {
        if (aborted) return fail(ncclInternalError);
        std::this_thread::sleep_for(1ms);
      }
      socket = end;
    }
    std::this_thread::sleep_for(10ms * (1 + rank));
    settle();
  }

  void fail(ncclResult_t result) { state = result; }
  void settle() {
    ncclResult_t busy = ncclInProgress;
    state.compare_exchange_strong(busy, ncclSuccess);  // an error stays
  }
  static bool ready(int of, short events) {
    pollfd poll{of, events, 0};
    return ::poll(&poll, 1, 5) > 0;
  }
  // False when the other side is gone or this one aborted.
  bool transfer(bool sends, void* data, std::size_t bytes) {
    auto* at = static_cast<char*>(data);
    while (bytes > 0) {
      if (aborted) return false;
      if (!ready(socket, sends ? POLLOUT : POLLIN)) continue;
      const ssize_t moved = sends ? ::send(socket, at, bytes, MSG_NOSIGNAL | MSG_DONTWAIT) : ::recv(socket, at, bytes, MSG_DONTWAIT);
      if (moved < 0 && (errno == EAGAIN || errno == EINTR)) continue;
      if (moved <= 0) return false;
      at += moved, bytes -= static_cast<std::size_t>(moved);
    }
    return true;
  }
  // What is never done holds up its stream until the communicator is aborted.
  void hang(ncclResult_t result) {
    fail(result);
    while (!aborted) std::this_thread::sleep_for(1ms);
  }
  void send(void* data, std::size_t bytes) {
    std::size_t length = bytes;
    if (!transfer(true, &length, sizeof length) || !transfer(true, data, bytes) || !transfer(false, &length, sizeof length)) hang(ncclRemoteError);
  }
  void receive(void* data, std::size_t bytes) {
    std::size_t length = 0;
    if (!transfer(false, &length, sizeof length)) return hang(ncclRemoteError);
    if (length != bytes) return hang(ncclInvalidUsage);
    if (!transfer(false, data, bytes) || !transfer(true, &length, sizeof length)) hang(ncclRemoteError);
    sleep_at_random();  // its sender may be through long before
  }
  void finalize() {
    char word = 'e';
    if (!transfer(true, &word, 1) || !transfer(false, &word, 1) || word != 'e') return fail(ncclRemoteError);
    finalized = true;
    settle();
  }

  const int rank;
  std::atomic<int> socket{-1};
  std::atomic<ncclResult_t> state{ncclInProgress};
  std::atomic<bool> aborted{false}, finalized{false};
  Worker host;  // last: it uses the others
};

namespace {

class EmulatedGpu final : public riverrun::Device {
 public:
  riverrun::DeviceKind kind() const override { return riverrun::DeviceKind::cuda; }
  void require(int) override {}
  std::string bus_id() override { return bus_id_; }
  riverrun::Index free_bytes() override { return riverrun::host_device().free_bytes(); }
  std::byte* allocate(riverrun::Index bytes, riverrun::Memory memory) override {
    std::byte* const data = riverrun::host_device().allocate(bytes, memory);
    const std::scoped_lock lock(mutex_);
    if (data != nullptr) allocated_[data] = bytes;
    return data;
  }
  void free(std::byte* data, riverrun::Index bytes, riverrun::Memory memory) noexcept override {
    {
      const std::scoped_lock lock(mutex_);
      allocated_.erase(data);
    }
    riverrun::host_device().free(data, bytes, memory);
  }
  bool reaches(const void* data) override {
    const std::scoped_lock lock(mutex_);
    const auto behind = allocated_.upper_bound(static_cast<const std::byte*>(data));
    return behind != allocated_.begin() && data < std::prev(behind)->first + std::prev(behind)->second;
  }
  void* open_order(bool) override { return new EmulatedStream; }
  void close_order(void* order) noexcept override { delete static_cast<EmulatedStream*>(order); }
  void copy(void* to, const void* from, riverrun::Index bytes, const riverrun::Stream& stream) override {
    riverrun::host_device().copy(to, from, bytes, stream);
  }
  void synchronize(const riverrun::Stream& stream) override {
    while (!idle(stream)) std::this_thread::sleep_for(10us);
  }
  bool idle(const riverrun::Stream& stream) override { return static_cast<EmulatedStream*>(stream.order)->worker.left() == 0; }
  std::unique_ptr<riverrun::Mark> mark(const riverrun::Stream&) override { return nullptr; }
  std::unique_ptr<riverrun::Recording> record(const riverrun::Stream&, const std::function<void()>&) override { return nullptr; }

  std::string bus_id_ = riverrun::concat("emulated ", getpid());

 private:
  std::mutex mutex_;
  std::map<const std::byte*, riverrun::Index> allocated_;  // and how many bytes
};

EmulatedGpu& the_gpu() {
  static EmulatedGpu gpu;
  return gpu;
}

struct Operation {
  ncclComm_t comm;
  cudaStream_t stream;
  void* data;
  std::size_t bytes;
  bool sends;
};
thread_local bool t_in_group = false;
thread_local std::vector<Operation> t_group;

ncclResult_t add(const Operation& operation, ncclDataType_t type, int peer) {
  if (!t_in_group || operation.comm->state != ncclSuccess || operation.bytes == 0) return ncclInvalidUsage;
  if (!the_gpu().reaches(operation.data)) return ncclInvalidArgument;
  if (type != ncclUint8 || peer != 1 - operation.comm->rank) return ncclInvalidArgument;
  if (!t_group.empty() && (t_group[0].comm != operation.comm || t_group[0].stream != operation.stream)) return ncclInvalidUsage;
  t_group.push_back(operation);
  return ncclSuccess;
}

void perform(const std::vector<Operation>& group) {
  sleep_at_random();
  for (const Operation& one : group) {
    if (one.sends) one.comm->send(one.data, one.bytes);
    else one.comm->receive(one.data, one.bytes);
  }
}

}  // namespace

ncclResult_t ncclGetVersion(int* version) {
  *version = NCCL_VERSION_CODE;
  return ncclSuccess;
}
const char* ncclGetErrorString(ncclResult_t result) {
  constexpr const char* kWords[] = {"no error", "unhandled cuda error", "unhandled system error", "internal error", "invalid argument",
                                    "invalid usage", "remote process exited or there was a network error", "NCCL operation in progress"};
  return kWords[result];
}
const char* ncclGetLastError(ncclComm_t) { return "emulated"; }

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  static std::atomic<int> count{0};
  std::snprintf(id->internal, sizeof id->internal, "riverrun-nccl-%d-%d", getpid(), count++);
  return ncclSuccess;
}
ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int ranks, ncclUniqueId id, int rank, ncclConfig_t* config) {
  if (ranks != 2 || config->blocking != 0) return ncclInvalidArgument;
  *comm = new ncclComm(rank, id);
  return ncclInProgress;
}
ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* state) {
  *state = comm->state;
  return ncclSuccess;
}
ncclResult_t ncclCommFinalize(ncclComm_t comm) {
  if (comm->state != ncclSuccess) return ncclInvalidUsage;
  comm->state = ncclInProgress;
  comm->host.add([comm] { comm->finalize(); });
  return ncclInProgress;
}
ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  if (!comm->finalized) return ncclInvalidUsage;
  ::close(comm->socket);
  delete comm;
  --g_open;
  return ncclSuccess;
}
ncclResult_t ncclCommAbort(ncclComm_t comm) {
  comm->aborted = true;
  ::shutdown(comm->socket, SHUT_RDWR);  // which the other side sees
  std::this_thread::sleep_for(std::chrono::milliseconds(g_abort_ms));
  comm->host.end();  // what is in a stream may still look at the communicator: it stays
  --g_open;
  return ncclSuccess;
}

ncclResult_t ncclGroupStart() {
  t_in_group = true;
  return ncclSuccess;
}
ncclResult_t ncclGroupEnd() {
  t_in_group = false;
  const std::vector<Operation> group = std::exchange(t_group, {});
  if (group.empty()) return ncclSuccess;
  ncclComm* const comm = group[0].comm;
  if (group[0].stream->worker.left() > 0) return ncclInvalidUsage;
  comm->state = ncclInProgress;
  comm->host.add([comm, group] {
    sleep_at_random();
    if (++g_groups == g_failing_group) return comm->fail(ncclSystemError);
    group[0].stream->worker.add([group] { perform(group); });
    comm->settle();
  });
  return ncclInProgress;
}
ncclResult_t ncclSend(const void* data, std::size_t count, ncclDataType_t type, int peer, ncclComm_t comm, cudaStream_t stream) {
  return add({comm, stream, const_cast<void*>(data), count, true}, type, peer);
}
ncclResult_t ncclRecv(void* data, std::size_t count, ncclDataType_t type, int peer, ncclComm_t comm, cudaStream_t stream) {
  return add({comm, stream, data, count, false}, type, peer);
}

namespace riverrun {

transport::NcclLibrary transport::load_nccl() {
  return {ncclGetVersion,   ncclGetErrorString, ncclGetLastError, ncclGetUniqueId, ncclCommInitRankConfig, ncclCommGetAsyncError,
          ncclCommFinalize, ncclCommDestroy,    ncclCommAbort,    ncclGroupStart,  ncclGroupEnd,           ncclSend,
          ncclRecv};
}

namespace nccl_emulator {

Device& gpu() { return the_gpu(); }
void set_bus_id(const std::string& id) { the_gpu().bus_id_ = id; }
void set_abort_time(int milliseconds) { g_abort_ms = milliseconds; }
void fail_after(int groups) { g_failing_group = g_groups + groups; }
int open_communicators() { return g_open; }

}  // namespace nccl_emulator
}  // namespace riverrun
