#include "core/thread_pool.h"

#include <system_error>

#include "core/error.h"

namespace riverrun {

namespace {
// The gaps between the parallel parts of a layer are a few microseconds: spin that long before sleeping, since a
// sleep and a wake-up cost more than the gap. Kept short so that ranks sharing a core do not starve each other.
constexpr int kSpins = 2000;

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}
}  // namespace

ThreadPool::ThreadPool(int threads) {
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
  {
    std::lock_guard lock(mutex_);
    tasks_ = tasks, context_ = context, call_ = call;
    error_ = nullptr;
    next_.store(0, std::memory_order_relaxed);
    busy_.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
    generation_.fetch_add(1, std::memory_order_release);
  }
  start_.notify_all();
  take_tasks(0);
  for (int spin = 0; spin < kSpins && busy_.load(std::memory_order_acquire) != 0; ++spin) relax();
  std::unique_lock lock(mutex_);
  finish_.wait(lock, [this] { return busy_.load(std::memory_order_acquire) == 0; });
  if (error_) std::rethrow_exception(error_);
}

void ThreadPool::work(int worker) {
  std::uint64_t seen = 0;
  while (true) {
    for (int spin = 0; spin < kSpins && generation_.load(std::memory_order_acquire) == seen; ++spin) relax();
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
    for (Index task; (task = next_.fetch_add(1, std::memory_order_relaxed)) < tasks_;) call_(context_, task, worker);
  } catch (...) {
    std::lock_guard lock(mutex_);
    if (!error_) error_ = std::current_exception();
    next_.store(tasks_, std::memory_order_relaxed);
  }
}

}  // namespace riverrun
