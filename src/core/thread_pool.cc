#include "core/thread_pool.h"

#include <system_error>
#include <thread>

#include "core/error.h"

namespace riverrun {

namespace {
// The gaps between the parallel parts of a layer are a few microseconds, and where weights come from memory one thread may be done
// some hundred before another: a sleep and a wake-up, on a virtual machine above all, cost more than either. So a thread first spins,
// for some 100 microseconds, then offers its core to others again and again, for about a millisecond, and only then sleeps.
constexpr int kSpins = 2000, kYields = 2000;

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Waits a while for ready() to become true.
template <class Ready>
void wait_awake(Ready&& ready) {
  for (int spin = 0; spin < kSpins; ++spin) {
    if (ready()) return;
    relax();
  }
  for (int yield = 0; yield < kYields && !ready(); ++yield) std::this_thread::yield();
}
}  // namespace

void ThreadPool::Share::set(Index first, Index end) {
  left_.store(static_cast<std::uint64_t>(first) << 32 | static_cast<std::uint64_t>(end), std::memory_order_relaxed);
}

Index ThreadPool::Share::take(bool own) {
  std::uint64_t left = left_.load(std::memory_order_relaxed);
  while (true) {
    const std::uint64_t first = left >> 32, end = left & 0xffffffffu;
    if (first >= end) return -1;
    const std::uint64_t rest = own ? left + (std::uint64_t{1} << 32) : left - 1;
    if (left_.compare_exchange_weak(left, rest, std::memory_order_relaxed)) return static_cast<Index>(own ? first : end - 1);
  }
}

ThreadPool::ThreadPool(int threads) : shares_(static_cast<std::size_t>(std::max(threads, 1))) {
  RR_CHECK(threads >= 1, "a pool of ", threads, " threads");
  try {
    for (int worker = 1; worker < threads; ++worker) workers_.emplace_back([this, worker] { work(worker); });
  } catch (const std::system_error& error) {
    stop_all();
    throw Error(concat("cannot start ", threads, " threads: ", error.what(), "; ask for fewer with --threads"));
  }
}

ThreadPool::~ThreadPool() { stop_all(); }

void ThreadPool::stop_all() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
    generation_.fetch_add(1);
  }
  start_.notify_all();
  for (auto& thread : workers_) thread.join();
}

void ThreadPool::run_all(Index tasks, void* context, Call call) {
  RR_CHECK(tasks < Index{1} << 32, tasks, " tasks");
  {
    std::lock_guard lock(mutex_);
    context_ = context, call_ = call;
    error_ = nullptr;
    // Rounded up: the calling thread, which is awake, has some if any has.
    const auto count = std::ssize(shares_);
    const auto begin = [&](Index worker) { return (tasks * worker + count - 1) / count; };
    for (Index worker = 0; worker < count; ++worker) shares_[static_cast<std::size_t>(worker)].set(begin(worker), begin(worker + 1));
    busy_.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
    generation_.fetch_add(1, std::memory_order_release);
  }
  start_.notify_all();
  take_tasks(0);
  wait_awake([this] { return busy_.load(std::memory_order_acquire) == 0; });
  std::unique_lock lock(mutex_);
  finish_.wait(lock, [this] { return busy_.load(std::memory_order_acquire) == 0; });
  if (error_) std::rethrow_exception(error_);
}

void ThreadPool::work(int worker) {
  std::uint64_t seen = 0;
  while (true) {
    wait_awake([&] { return generation_.load(std::memory_order_acquire) != seen; });
    {
      std::unique_lock lock(mutex_);
      start_.wait(lock, [&] { return generation_.load(std::memory_order_acquire) != seen; });
      seen = generation_.load(std::memory_order_acquire);
      if (stop_) return;
    }
    take_tasks(worker);
    if (busy_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      std::lock_guard lock(mutex_);  // so that the owner cannot miss the signal between its test and its sleep
      finish_.notify_one();
    }
  }
}

void ThreadPool::take_tasks(int worker) {
  try {
    const std::size_t count = shares_.size();
    for (std::size_t further = 0; further < count; ++further) {
      Share& share = shares_[(static_cast<std::size_t>(worker) + further) % count];
      for (Index task; (task = share.take(further == 0)) >= 0;) call_(context_, task, worker);
    }
  } catch (...) {
    std::lock_guard lock(mutex_);
    if (!error_) error_ = std::current_exception();
    for (Share& share : shares_) share.set(0, 0);
  }
}

}  // namespace riverrun
