// One rank alone: the code of many ranks runs, and nobody is there to talk to.
#include <deque>
#include <limits>
#include <utility>

#include "core/error.h"
#include "core/log.h"
#include "transport/ranks.h"

namespace riverrun::transport {

namespace {

using Bytes = std::vector<std::byte>;

class Self : public Transport {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  const char* name() const override { return "self"; }
  Index most_tag() const override { return std::numeric_limits<Index>::max(); }

  Ticket post_receive(int peer, Index tag, std::span<std::byte>) override { return refuse(peer, tag); }
  Ticket post_send(int peer, Index tag, std::span<const std::byte>) override { return refuse(peer, tag); }
  bool done(Ticket ticket) override {
    progress();
    RR_CHECK(false, "ticket ", ticket, " is not open");
    return false;
  }
  void progress() override {
    if (!abort_message_.empty()) throw Error(abort_message_, abort_code_);
  }

  Health health() override { return {}; }
  void abandon(Clock::duration) override { progress(); }

  void post_result(Bytes bytes) override {
    progress();
    RR_CHECK(!bytes.empty(), "a result has at least one byte");
    in_flight_ += std::ssize(bytes);
    results_.push_back(std::move(bytes));
  }
  Bytes take_result() override {
    progress();
    if (results_.empty()) return {};
    Bytes bytes = std::move(results_.front());
    results_.pop_front();
    in_flight_ -= std::ssize(bytes);
    return bytes;
  }
  Index results_in_flight() override {
    progress();
    return in_flight_;
  }

  void barrier(const std::string&, Clock::duration) override { progress(); }
  void broadcast(Bytes&, const std::string&, Clock::duration, const std::function<void()>&) override { progress(); }
  std::vector<Bytes> gather(Bytes bytes, const std::string&, Clock::duration) override {
    progress();
    std::vector<Bytes> all;
    all.push_back(std::move(bytes));
    return all;
  }

  void abort(const std::string& message, int exit_code) noexcept override {
    if (!abort_message_.empty()) return;
    abort_message_ = "rank 0 failed: " + message;
    abort_code_ = static_cast<ExitCode>(failing_code(exit_code));
  }

 private:
  Ticket refuse(int peer, Index tag) {
    progress();
    check_address(*this, peer, tag);
    return 0;
  }

  std::deque<Bytes> results_;
  Index in_flight_ = 0;
  std::string abort_message_;
  ExitCode abort_code_ = ExitCode::failed;
};

}  // namespace

int run_self(const Options& options, const Body& body) {
  RR_CHECK_INPUT(options.ranks == 1, "transport \"self\" has one rank, not ", options.ranks,
                 "; use \"threads\" or start under mpirun");
  set_log_rank(0, 1);
  Self self;
  const int code = body(self);
  RR_CHECK(self.results_in_flight() == 0, "rank 0 left ", self.results_in_flight(), " bytes of results untaken");
  return code;
}

}  // namespace riverrun::transport
