// Checkpoints: which carries may go to the disk, and a thread that brings them there while the ring goes on (rank 0).
//
// A carry on the disk promises that everything before it is in the output for good. So it waits until the results of all
// slices before it are written there, and the thread syncs the output before it writes the carry.
#pragma once

#include <condition_variable>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "jobs/run/checkpoint_file.h"

namespace riverrun::jobs {

class Checkpoints {
 public:
  // `describe` says what is known of a document; called from the thread that calls take() and reached().
  Checkpoints(const std::string& output, std::string identity, std::function<CheckpointFolder::Document(Index)> describe);
  ~Checkpoints();  // what is still to be written is dropped
  Checkpoints(const Checkpoints&) = delete;
  Checkpoints& operator=(const Checkpoints&) = delete;

  // The document goes on from a carry that an earlier run left.
  void resumed(Index document, Index next_token);
  // A carry behind a slice; that of a closed document is let go. Throws what the thread ran into: the output could not be synced.
  void take(ring::CarryCopy copy);
  // All results of the document's tokens before `next_token` have been handed to the output, and texts too.
  void reached(Index document, Index next_token);
  // Whether the document has files: only then must its mark be in the output before drop().
  bool has(Index document) const { return pushed_.contains(document); }
  // The document can have no more checkpoints: carries of it that wait, or come later, are let go. Its files stay.
  void close(Index document);
  // Closes the document, and removes its files when its mark, which is in the output, is on the disk, too.
  void drop(Index document);
  // Waits until all that may be written, and the output, are on the disk.
  void flush();
  // Those that can go on from a carry on the disk.
  std::set<Index> documents() const;

 private:
  struct Task {
    ring::CarryCopy copy;  // with no bytes: remove the document's files
    CheckpointFolder::Document document;
  };
  void push(Task task);
  void work();
  void sync_output() const;
  void do_tasks(std::vector<Task> tasks);

  const std::string output_, identity_;
  const std::function<CheckpointFolder::Document(Index)> describe_;
  CheckpointFolder folder_;
  std::map<Index, std::map<Index, ring::CarryCopy>> waiting_;  // by document and token
  std::map<Index, Index> reached_, pushed_;                    // by document: results up to there; the furthest carry given to the thread
  std::vector<bool> closed_;                                   // by document, as far as any was
  Index waiting_bytes_ = 0;
  bool told_full_ = false;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Task> tasks_;
  Index task_bytes_ = 0;
  bool busy_ = false, ending_ = false;
  std::exception_ptr failure_;
  std::set<Index> on_disk_;
  std::thread thread_;
};

}  // namespace riverrun::jobs
