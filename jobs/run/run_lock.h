// RunLock: one run at a time writes an output.
//
// The file OUTPUT.lock says who: host, process, SLURM job and how often that was restarted, since when. Its holder keeps a
// lock of the kernel on it (flock), which ends with the process however that ends: so what a killed run leaves behind is
// taken over by the next one without further ado. Where kernel locks do not reach from node to node, or the file system has
// none, the holder's touching the file every few seconds tells that it runs. A holder that stood still for so long that another
// run has taken the file ends its process when it finds out. A job that SLURM has requeued waits for its own earlier run to
// end.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

namespace riverrun::jobs {

struct RunLockTimes {
  std::chrono::milliseconds beat{5000};            // how often the holder touches the file
  std::chrono::milliseconds watch{30000};          // a file that may be of another node and is not touched for so long has no holder,
  std::chrono::milliseconds surely_dead{300000};   // and at once when it is older than this by this node's clock
  std::chrono::milliseconds requeued{120000};      // how long a restarted SLURM job waits for its earlier run
};

class RunLock {
 public:
  // InputError that says who holds it, or that the file is not a lock. May wait, as RunLockTimes say.
  explicit RunLock(const std::string& output, RunLockTimes times = {});
  // Removes the file, if it is still this run's.
  ~RunLock();
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;

  const std::string& path() const { return path_; }

 private:
  bool open_file();
  bool try_lock();
  void wait_for_earlier_run();
  void watch_other_node();
  void write_holder();
  void end_if_taken_over() const;
  void beat();

  const std::string path_;
  const RunLockTimes times_;
  int descriptor_ = -1;
  bool made_ = false;           // the file, which was not there before
  bool kernel_locked_ = false;  // as this node's kernel knows; false where the file system has no locks
  std::string holder_;          // what the file says while it is this run's
  std::mutex mutex_;
  std::condition_variable changed_;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace riverrun::jobs
