// A document that goes on from the copy of a carry ends with the bits of one that was never interrupted.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>

#include "core/crc32c.h"
#include "core/error.h"
#include "core/stop.h"
#include "ring/fork.h"
#include "tests/support/ring_corpus.h"
#include "tests/support/small_model.h"

namespace riverrun {
namespace {

using test::Corpus;
using test::RingRun;
using test::run_corpus;

Corpus corpus() { return test::random_corpus({700, 64, 500, 12, 129, 333}); }

RingRun run_of_everything(ring::Pool pool = ring::Pool::mean) {
  RingRun run;
  run.request = test::everything(pool);
  return run;
}

using Copies = std::map<std::pair<Index, Index>, ring::CarryCopy>;  // by document and token

// Every rank sends a copy after every block.
Copies all_copies(RingRun run, const model::Model& model, const kernels::KernelTable& kernels) {
  Copies copies;
  run.checkpoints.interval = std::chrono::nanoseconds(1);
  run.checkpoints.on_copy = [&](ring::CarryCopy copy) {
    EXPECT_EQ(copy.crc, crc32c(copy.bytes));
    const auto key = std::pair(copy.document, copy.next_token);
    const auto [at, fresh] = copies.emplace(key, copy);
    EXPECT_TRUE(fresh || at->second == copy) << "two carries behind one slice";
  };
  run_corpus(corpus(), model, kernels, run);
  return copies;
}

class RestartTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override { model_ = test::make_small_model(kernels_, "fp32", test::small_shape(GetParam())); }

  // Goes on from these, and compares what comes from there on: last rows, and all scores and windows after the place.
  void expect_same_end(const std::vector<test::DocumentResult>& whole, RingRun run, const Copies& copies, const std::vector<Index>& begins) {
    run.begins = begins;
    run.checkpoints.restart = [&](Index document, Index next_token) { return copies.at({document, next_token}).bytes; };
    const auto rest = run_corpus(corpus(), *model_, kernels_, run);
    const Index width = model_->config().channels;
    for (std::size_t d = 0; d < whole.size(); ++d) {
      SCOPED_TRACE(concat("document ", d, " from token ", begins[d], " on ", run.ranks, " ranks"));
      EXPECT_EQ(rest[d].tokens, whole[d].tokens - begins[d]);
      EXPECT_TRUE(test::same_bits(rest[d].embedding, whole[d].embedding));
      EXPECT_TRUE(test::same_bits(rest[d].state, whole[d].state));
      const auto tail = [](const std::vector<float>& values, Index from) {
        return std::vector<float>(values.begin() + std::min(from, std::ssize(values)), values.end());
      };
      const Index score = begins[d] == 0 ? 0 : begins[d] + 1, window = begins[d] / run.request.window * width;
      EXPECT_TRUE(test::same_bits(tail(rest[d].scores, score), tail(whole[d].scores, score)));
      EXPECT_TRUE(test::same_bits(tail(rest[d].windows, window), tail(whole[d].windows, window)));
    }
  }

  const kernels::KernelTable& kernels_ = kernels::find_backend("auto");
  std::unique_ptr<model::Model> model_;
};

TEST_P(RestartTest, FromAnyPlaceOnAnyNumberOfRanks) {
  for (const auto pool : {ring::Pool::mean, ring::Pool::last}) {
    RingRun run = run_of_everything(pool);
    const auto whole = run_corpus(corpus(), *model_, kernels_, run);
    run.ranks = 3;
    const Copies copies = all_copies(run, *model_, kernels_);
    for (int round = 0; round < 6; ++round) {
      std::vector<Index> begins(corpus().size(), 0);
      for (const auto& [place, copy] : copies) {
        if (place.second / 64 % (round + 1) == 0) begins[place.first] = place.second;
      }
      run.ranks = 1 + round % 4;
      expect_same_end(whole, run, copies, begins);
    }
  }
}

TEST_P(RestartTest, TheLastCarryOfEveryRankIsCopied) {
  for (const int ranks : {1, 2, 3}) {
    RingRun run = run_of_everything();
    run.ranks = ranks;
    // After every block but the last of a document.
    EXPECT_EQ(all_copies(run, *model_, kernels_).size(), 10u + 0 + 7 + 0 + 2 + 5) << ranks << " ranks";
  }
}

// Nobody sends copies before the signal. A process notes a signal for ever: this happens in one of its own.
void stop_and_hand_over(RingRun run, const model::Model& model, const kernels::KernelTable& kernels, std::FILE* copies) {
  note_stop_signals();
  std::atomic<int> blocks = 0;
  run.before_tokens = [&](Index, transport::Transport&) {
    if (++blocks == 12) ::raise(SIGUSR1);
  };
  run.checkpoints.interval = std::chrono::hours(1);
  run.checkpoints.on_copy = [&](const ring::CarryCopy& copy) {
    const Index head[] = {copy.document, copy.next_token, std::ssize(copy.bytes)};
    RR_CHECK(std::fwrite(head, sizeof head, 1, copies) == 1, "cannot write");
    RR_CHECK(std::fwrite(copy.bytes.data(), 1, copy.bytes.size(), copies) == copy.bytes.size(), "cannot write");
  };
  run_corpus(corpus(), model, kernels, run);
  RR_CHECK(std::fflush(copies) == 0, "cannot write");
}

template <class Body>
pid_t start_child(Body body) {
  const pid_t child = ::fork();
  if (child != 0) return child;
  try {
    body();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    ::_exit(1);
  }
  ::_exit(0);
}

void expect_success(pid_t child) {
  int status = -1;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

Copies copies_of_a_stopped_run(const RingRun& run, const model::Model& model, const kernels::KernelTable& kernels) {
  int ends[2];
  EXPECT_EQ(::pipe(ends), 0);
  const pid_t child = start_child([&] { stop_and_hand_over(run, model, kernels, ::fdopen(ends[1], "wb")); });
  ::close(ends[1]);
  std::FILE* const file = ::fdopen(ends[0], "rb");
  Copies copies;
  for (Index head[3]; std::fread(head, sizeof head, 1, file) == 1;) {
    ring::CarryCopy copy{head[0], head[1], 0, std::vector<std::byte>(head[2])};
    EXPECT_EQ(std::fread(copy.bytes.data(), 1, copy.bytes.size(), file), copy.bytes.size());
    copies[{copy.document, copy.next_token}] = copy;
  }
  std::fclose(file);
  expect_success(child);
  return copies;
}

TEST_P(RestartTest, RanksThatASignalStoppedHandOverTheirCarries) {
  RingRun run = run_of_everything();
  run.ranks = 3;
  const Copies copies = copies_of_a_stopped_run(run, *model_, kernels_);
  EXPECT_FALSE(copies.empty());
  std::vector<Index> begins(corpus().size(), 0);
  for (const auto& [place, copy] : copies) begins[place.first] = std::max(begins[place.first], place.second);
  const auto whole = run_corpus(corpus(), *model_, kernels_, run_of_everything());
  for (run.ranks = 1; run.ranks <= 3; ++run.ranks) expect_same_end(whole, run, copies, begins);
}

// Counts the ranks that begin its end, in which they meet.
class Meeting : public ring::Fork {
 public:
  explicit Meeting(std::atomic<int>& begun) : begun_(begun) {}
  bool wants(const plan::Slice&) const override { return false; }
  void take(const plan::Slice&, std::unique_ptr<model::State>) override {}
  void between_blocks(const Outlet&) override {}
  bool while_waiting(const Outlet&) override { return false; }
  void finish(transport::Transport& transport, transport::Clock::duration timeout, const Outlet&) override {
    ++begun_;
    transport.gather({}, "every rank to end", timeout);
  }

 private:
  std::atomic<int>& begun_;
};

// Rank 1 stops in the first block that it verifies, when rank 2 is long done with its own.
void stop_while_verifying(const model::Model& model, const kernels::KernelTable& kernels) {
  note_stop_signals();
  std::atomic<int> begun = 0, stops = 0;
  RingRun run = run_of_everything();
  run.ranks = 3, run.verify = 8, run.timeout_seconds = 30;
  run.make_fork = [&] { return std::make_unique<Meeting>(begun); };
  run.before_tokens = [&](Index first, transport::Transport& transport) {
    if (transport.rank() != 1 || first != 0) return;  // the document begins on rank 0
    for (const auto begin = transport::Clock::now(); transport::Clock::now() - begin < std::chrono::milliseconds(300);) transport.progress();
    ++stops;
    ::raise(SIGUSR1);
  };
  run_corpus(test::random_corpus({6 * 64}), model, kernels, run);
  RR_CHECK(stops == 1 && begun == 0, stops.load(), " stops, ", begun.load(), " ranks went on");
}

TEST_P(RestartTest, ASignalWhileBlocksAreVerifiedStopsAllRanksTogether) {
  expect_success(start_child([&] { stop_while_verifying(*model_, kernels_); }));
}

TEST(Restart, ADocumentWithoutItsCarryIsRefused) {
  const auto& kernels = kernels::find_backend("auto");
  const auto model = test::make_small_model(kernels, "fp32");
  RingRun run = run_of_everything();
  run.begins = {64, 0, 0, 0, 0, 0};
  EXPECT_THROW(run_corpus(corpus(), *model, kernels, run), Error);
  run.checkpoints.restart = [](Index, Index) { return std::vector<std::byte>(100); };
  EXPECT_THROW(run_corpus(corpus(), *model, kernels, run), Error);
}

INSTANTIATE_TEST_SUITE_P(Generations, RestartTest, testing::Values("rwkv4", "rwkv5.2", "rwkv6", "rwkv7", "rwkv7a"),
                         [](const auto& of) {
                           std::string name = of.param;
                           std::erase(name, '.');
                           return name;
                         });

}  // namespace
}  // namespace riverrun
