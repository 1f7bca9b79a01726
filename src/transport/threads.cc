// Ranks as threads of one process, with the manners of MPI at its strictest: a send is through only when its receive
// was posted, and bytes move only while their rank is inside a call. So nothing can come to rely on buffering.
//
// Each rank copies to and from its own memory only, by way of a message both sides share: when a rank fails, its
// buffers may go while the others are still at work.
#include <algorithm>
#include <cstring>
#include <exception>
#include <limits>
#include <system_error>
#include <thread>
#include <unordered_map>

#include "core/log.h"
#include "transport/pulse.h"
#include "transport/thread_world.h"

namespace riverrun::transport {

namespace {

class ThreadRank : public Transport {
 public:
  ThreadRank(World& world, int rank) : world_(world), rank_(rank), pulse_(world.size, rank) {}

  int rank() const override { return rank_; }
  int size() const override { return world_.size; }
  const char* name() const override { return "threads"; }
  Index most_tag() const override { return std::numeric_limits<Index>::max(); }

  Ticket post_receive(int peer, Index tag, std::span<std::byte> bytes) override {
    progress();
    check_address(*this, peer, tag);
    auto message = world_.match(peer, rank_, tag, false);
    message->receive_posted.store(true, std::memory_order_release);
    receives_.emplace(++last_ticket_, Receive{std::move(message), peer, tag, bytes});
    return last_ticket_;
  }

  Ticket post_send(int peer, Index tag, std::span<const std::byte> bytes) override {
    progress();
    check_address(*this, peer, tag);
    sends_.emplace(++last_ticket_, Send{world_.match(rank_, peer, tag, true), bytes});
    progress();
    return last_ticket_;
  }

  bool done(Ticket ticket) override {
    progress();
    if (const auto receive = receives_.find(ticket); receive != receives_.end()) {
      if (!receive->second.message->filled.load(std::memory_order_acquire)) return false;
      const Receive taken = std::move(receive->second);
      receives_.erase(receive);
      take(taken);
      return true;
    }
    if (sends_.contains(ticket)) return false;
    const auto sent = std::find(sent_.begin(), sent_.end(), ticket);
    RR_CHECK(sent != sent_.end(), "ticket ", ticket, " is not open");
    sent_.erase(sent);
    return true;
  }

  // Copies what can be sent now.
  void progress() override {
    world_.check();
    world_.beats[rank_].at.store(Clock::now().time_since_epoch().count(), std::memory_order_relaxed);
    world_.beats[rank_].steps.store(steps_, std::memory_order_relaxed);
    for (auto at = sends_.begin(); at != sends_.end();) {
      const auto& [message, bytes] = at->second;
      if (!message->receive_posted.load(std::memory_order_acquire)) {
        ++at;
        continue;
      }
      message->bytes.assign(bytes.begin(), bytes.end());
      message->filled.store(true, std::memory_order_release);
      sent_.push_back(at->first);
      at = sends_.erase(at);
    }
  }

  Health health() override {
    for (int rank = 0; rank < world_.size; ++rank) {
      const Beat& beat = world_.beats[rank];
      pulse_.hear(rank, beat.steps.load(std::memory_order_relaxed),
                  Clock::time_point(Clock::duration(beat.at.load(std::memory_order_relaxed))));
    }
    return pulse_.health(Clock::now());
  }

  void abandon(Clock::duration timeout) override {
    barrier("giving up what is under way", timeout);  // so that nobody posts after a peer has let go
    receives_.clear(), sends_.clear(), sent_.clear();
    {
      std::lock_guard lock(world_.inboxes[rank_].mutex);
      world_.inboxes[rank_].channels.clear();
    }
    barrier("giving up what was under way", timeout);
  }

  void post_result(Bytes bytes) override {
    progress();
    RR_CHECK(!bytes.empty(), "a result has at least one byte");
    world_.in_flight[rank_] += std::ssize(bytes);
    std::lock_guard lock(world_.results_mutex);
    RR_CHECK(!world_.results_closed, "rank ", rank_, " posts a result after rank 0 has ended");
    world_.results.emplace_back(rank_, std::move(bytes));
  }

  Bytes take_result() override {
    progress();
    RR_CHECK(rank_ == 0, "rank ", rank_, " takes results, which is for rank 0");
    std::lock_guard lock(world_.results_mutex);
    if (world_.results.empty()) return {};
    auto [from, bytes] = std::move(world_.results.front());
    world_.results.pop_front();
    world_.in_flight[from] -= std::ssize(bytes);
    return std::move(bytes);
  }

  Index results_in_flight() override {
    progress();
    return world_.in_flight[rank_];
  }

  void barrier(const std::string& what, Clock::duration timeout) override {
    meet("barrier", {}, Needs::all, what, timeout, [](Collective&) {});
  }

  void broadcast(Bytes& bytes, const std::string& what, Clock::duration timeout, const std::function<void()>& idle) override {
    const bool root = rank_ == 0;
    const auto take = [&](Collective& call) {
      if (!root) bytes = call.bytes[0];
    };
    meet("broadcast", root ? bytes : Bytes{}, root ? Needs::nobody : Needs::root, what, timeout, take, idle);
  }

  std::vector<Bytes> gather(Bytes bytes, const std::string& what, Clock::duration timeout) override {
    const bool root = rank_ == 0;
    std::vector<Bytes> all;
    meet("gather", std::move(bytes), root ? Needs::all : Needs::nobody, what, timeout, [&](Collective& call) {
      if (root) all = std::move(call.bytes);
    });
    return all;
  }

  void abort(const std::string& message, int exit_code) noexcept override {
    world_.abort(concat("rank ", rank_, " failed: ", message), static_cast<ExitCode>(failing_code(exit_code)));
  }

  // Called when the body has returned.
  void leave() {
    progress();
    const std::size_t open = receives_.size() + sends_.size() + sent_.size();
    RR_CHECK(open == 0, "rank ", rank_, " ended with ", open, " messages not seen through");
    if (rank_ != 0) return;
    std::lock_guard lock(world_.results_mutex);
    world_.results_closed = true;
    RR_CHECK(world_.results.empty(), "rank 0 ended with ", world_.results.size(), " results untaken");
  }

 private:
  struct Receive {
    std::shared_ptr<Message> message;
    int peer;
    Index tag;
    std::span<std::byte> bytes;
  };
  struct Send {
    std::shared_ptr<Message> message;
    std::span<const std::byte> bytes;
  };

  void take(const Receive& receive) {
    const Bytes& got = receive.message->bytes;
    if (got.size() != receive.bytes.size())
      throw_wrong_length(rank_, receive.peer, receive.tag, std::ssize(got), std::ssize(receive.bytes));
    std::copy(got.begin(), got.end(), receive.bytes.begin());
  }

  enum class Needs { nobody, root, all };

  // Brings this rank's bytes to its next collective, waits for the ranks it needs, and lets `take` fetch its part.
  template <class Take>
  void meet(const char* kind, Bytes bytes, Needs needs, const std::string& what, Clock::duration timeout, Take take,
            const std::function<void()>& idle = {}) {
    progress();
    const Index number = collectives_++;
    std::unique_lock lock(world_.collectives_mutex);
    Collective& call = world_.collectives[number];
    if (call.kind == nullptr) {
      call.kind = kind;
      call.bytes.resize(world_.size);
    }
    RR_CHECK(std::strcmp(call.kind, kind) == 0, "rank ", rank_, " calls ", kind, " for ", what,
             " where others call ", call.kind);
    call.bytes[rank_] = std::move(bytes);
    call.root_arrived |= rank_ == 0;
    ++call.arrived;
    lock.unlock();

    const auto enough = [&] {
      std::lock_guard guard(world_.collectives_mutex);
      return needs == Needs::nobody || (needs == Needs::root && call.root_arrived) || call.arrived == world_.size;
    };
    wait_until(*this, enough, timeout, [&] { return "the other ranks: " + what; }, idle);

    lock.lock();
    take(call);
    if (++call.left == world_.size) world_.collectives.erase(number);
  }

  World& world_;
  const int rank_;
  Pulse pulse_;
  Ticket last_ticket_ = 0;
  std::unordered_map<Ticket, Receive> receives_;
  std::map<Ticket, Send> sends_;  // not yet through, oldest first
  std::vector<Ticket> sent_;      // through, but nobody has asked yet
  Index collectives_ = 0;
};

// Runs the ranks and keeps the exception that began it all.
class Runner {
 public:
  Runner(int ranks, const Body& body) : world_(ranks), body_(body) {}

  int run() {
    std::vector<std::thread> threads;
    try {
      for (int rank = 0; rank < world_.size; ++rank) threads.emplace_back([this, rank] { run_rank(rank); });
    } catch (const std::system_error& error) {
      world_.abort(concat("cannot start ", world_.size, " ranks as threads: ", error.what()), ExitCode::failed);
    }
    for (auto& thread : threads) thread.join();
    if (error_) std::rethrow_exception(error_);
    world_.check();
    return code_;
  }

 private:
  void run_rank(int rank) {
    set_log_rank(rank, world_.size);
    ThreadRank transport(world_, rank);
    try {
      const int code = body_(transport);
      transport.leave();
      std::lock_guard lock(mutex_);
      code_ = std::max(code_, code);
    } catch (const Aborted&) {  // the rank that aborted speaks for this one
    } catch (const Error& error) {
      fail(transport, error.what(), error.code());
    } catch (const std::exception& error) {
      fail(transport, error.what(), ExitCode::failed);
    } catch (...) {
      fail(transport, "unknown exception", ExitCode::failed);
    }
  }

  // Inside a handler only.
  void fail(ThreadRank& transport, const std::string& message, ExitCode code) {
    {
      std::lock_guard lock(mutex_);
      if (!error_) error_ = std::current_exception();
    }
    transport.abort(message, static_cast<int>(code));
  }

  World world_;
  const Body& body_;
  std::mutex mutex_;
  std::exception_ptr error_;
  int code_ = 0;
};

}  // namespace

int run_threads(const Options& options, const Body& body) {
  RR_CHECK_INPUT(options.ranks >= 1, "transport \"threads\" needs at least one rank, not ", options.ranks);
  return Runner(options.ranks, body).run();
}

}  // namespace riverrun::transport
