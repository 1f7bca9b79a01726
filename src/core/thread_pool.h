// ThreadPool: the worker threads of one rank.
//
// Ranks may be threads themselves, so a pool belongs to one rank and is never shared. Every worker has an even range of the tasks and takes
// others' when it is through: what a worker wrote in one run, in the same part of another it finds in its own caches, and a matrix in the
// memory nearest to it. Chance has its part in it all the same; a task's result must not depend on it (docs/architecture.md, identity).
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

#include "core/types.h"

namespace riverrun {

class ThreadPool {
 public:
  // `threads` >= 1 counts the calling thread: a pool of one starts none. Throws Error when the system refuses one.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls body(task, worker) for every task in [0, tasks), tasks < 2^32, worker in [0, threads()); returns when all are done.
  // Called from the owning thread only, not from inside a task. The first exception of a task is thrown here.
  template <class Body>
  void run(Index tasks, Body&& body) {
    using Plain = std::remove_reference_t<Body>;
    if (tasks <= 1 || workers_.empty()) {
      for (Index task = 0; task < tasks; ++task) body(task, 0);
      return;
    }
    run_all(tasks, const_cast<void*>(static_cast<const void*>(&body)),
            [](void* context, Index task, int worker) { (*static_cast<Plain*>(context))(task, worker); });
  }

  // Cuts [0, size) into one even range per thread, none shorter than `least`: body(begin, end, worker).
  template <class Body>
  void run_ranges(Index size, Index least, Body&& body) {
    const Index parts = std::min<Index>(threads(), std::max<Index>(1, size / std::max<Index>(1, least)));
    run(parts, [&](Index part, int worker) { body(size * part / parts, size * (part + 1) / parts, worker); });
  }

 private:
  using Call = void (*)(void* context, Index task, int worker);

  // Tasks [first, end) that nobody has taken yet.
  class Share {
   public:
    void set(Index first, Index end);
    // The first one for the worker whose share it is, the last one for others; -1 when there is none.
    Index take(bool own);

   private:
    alignas(64) std::atomic<std::uint64_t> left_{0};  // first in the upper half, end in the lower
  };

  void run_all(Index tasks, void* context, Call call);
  void work(int worker);
  void take_tasks(int worker);
  void stop_all();

  std::vector<Share> shares_;  // of each worker
  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable start_, finish_;
  std::atomic<std::uint64_t> generation_{0};  // rises with every run_all; workers wait for it
  std::atomic<int> busy_{0};                  // workers not yet through with the current run
  void* context_ = nullptr;
  Call call_ = nullptr;
  std::exception_ptr error_;
  bool stop_ = false;
};

}  // namespace riverrun
