// What ranks that are threads share: messages on their way, results, collectives, and the word of an abort.
#pragma once

#include <atomic>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include "core/error.h"
#include "transport/ranks.h"

namespace riverrun::transport {

using Bytes = std::vector<std::byte>;

// What a call throws after another rank's abort; kept apart from the exceptions that are a rank's own.
class Aborted : public Error {
 public:
  using Error::Error;
};

struct Message {
  std::atomic<bool> receive_posted = false, filled = false;
  Bytes bytes;  // the sender's until `filled`, then the receiver's
};

// Messages of one (sender, receiver, tag), of which so far one side only has been posted, oldest first.
struct Channel {
  std::deque<std::shared_ptr<Message>> waiting;
  bool waiting_are_sends = false;
};

struct Inbox {
  std::mutex mutex;
  std::map<std::pair<int, Index>, Channel> channels;  // by (sender, tag)
};

// One call of a collective by all ranks.
struct Collective {
  const char* kind = nullptr;
  int arrived = 0, left = 0;
  bool root_arrived = false;
  std::vector<Bytes> bytes;  // one per rank
};

// A rank's sign of life: when it last called, and how many steps it had made.
struct Beat {
  std::atomic<Clock::rep> at = Clock::now().time_since_epoch().count();
  std::atomic<Index> steps = 0;
};

// What the ranks share.
class World {
 public:
  explicit World(int ranks) : size(ranks), inboxes(ranks), in_flight(ranks), beats(ranks) {}

  void abort(const std::string& message, ExitCode exit_code) {
    std::lock_guard lock(mutex_);
    if (aborted_.load(std::memory_order_relaxed)) return;
    message_ = message;
    code_ = exit_code;
    aborted_.store(true, std::memory_order_release);
  }
  void check() const {
    if (aborted_.load(std::memory_order_acquire)) [[unlikely]] throw Aborted(message_, code_);
  }

  // The message of the next unmatched post of the other side, or a new one that waits for it.
  std::shared_ptr<Message> match(int from, int to, Index tag, bool is_send) {
    Inbox& inbox = inboxes[to];
    std::lock_guard lock(inbox.mutex);
    const auto at = inbox.channels.try_emplace({from, tag}).first;
    Channel& channel = at->second;
    if (channel.waiting.empty() || channel.waiting_are_sends == is_send) {
      channel.waiting_are_sends = is_send;
      return channel.waiting.emplace_back(std::make_shared<Message>());
    }
    auto message = std::move(channel.waiting.front());
    channel.waiting.pop_front();
    if (channel.waiting.empty()) inbox.channels.erase(at);  // tags come and go: keep no trace of them
    return message;
  }

  const int size;
  std::vector<Inbox> inboxes;

  std::mutex results_mutex;
  std::deque<std::pair<int, Bytes>> results;
  std::vector<std::atomic<Index>> in_flight;
  std::vector<Beat> beats;
  bool results_closed = false;  // rank 0 has left

  std::mutex collectives_mutex;
  std::map<Index, Collective> collectives;

 private:
  std::mutex mutex_;
  std::atomic<bool> aborted_ = false;
  std::string message_;
  ExitCode code_ = ExitCode::failed;
};

}  // namespace riverrun::transport
