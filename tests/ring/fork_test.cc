// States are handed to a job's fork as they are, at any section's end, and the reading goes on as if nothing had happened.

#include "ring/fork.h"

#include <gtest/gtest.h>

#include <atomic>
#include <deque>
#include <thread>

#include "ring/even_out.h"
#include "tests/support/forward.h"
#include "tests/support/ring_corpus.h"
#include "tests/support/small_model.h"

namespace riverrun {
namespace {

using test::Corpus;
using test::RingRun;
using test::run_corpus;

// Gives back each state as a text: some while waiting, some between blocks, and the rest at the end, moved to other ranks first.
class Recorder : public ring::Fork {
 public:
  explicit Recorder(plan::Sections sections) : sections_(sections) {}

  bool wants(const plan::Slice& slice) const override {
    const Index end = slice.first_token + slice.tokens;
    return slice.last || sections_.end_after(slice.first_token) == end;
  }
  void take(const plan::Slice& slice, std::unique_ptr<model::State> state) override {
    const Index section = slice.first_token < sections_.tokens ? 0 : 1 + (slice.first_token - sections_.tokens) / (sections_.tokens + sections_.between);
    const auto bytes = std::as_bytes(state->values());
    std::vector<std::byte> item(2 * sizeof(Index));
    std::memcpy(item.data(), &slice.document, sizeof(Index));
    std::memcpy(item.data() + sizeof(Index), &section, sizeof(Index));
    item.insert(item.end(), bytes.begin(), bytes.end());
    held_.push_back(std::move(item));
  }
  void between_blocks(const Outlet& outlet) override {
    outlet.alive();
    while (held_.size() > 3) give(outlet);
  }
  bool while_waiting(const Outlet& outlet) override {
    if (held_.size() < 2) return false;
    give(outlet);
    outlet.alive();
    return true;
  }
  void finish(transport::Transport& transport, transport::Clock::duration timeout, const Outlet& outlet) override {
    held_ = ring::even_out(transport, std::move(held_), 0, timeout);
    while (!held_.empty()) give(outlet);
  }

 private:
  void give(const Outlet& outlet) {
    ring::SliceResult result;
    const auto& item = held_.back();
    ring::WrittenText& written = result.written.emplace();
    std::memcpy(&result.document, item.data(), sizeof(Index));
    std::memcpy(&written.section, item.data() + sizeof(Index), sizeof(Index));
    written.text.assign(reinterpret_cast<const char*>(item.data()) + 2 * sizeof(Index), item.size() - 2 * sizeof(Index));
    written.tokens = {1, 2};
    written.stop_reason = StopReason::length;
    held_.pop_back();
    outlet.post(std::move(result));
  }

  plan::Sections sections_;
  ring::Items held_;
};

class ForkTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override { model_ = test::make_small_model(kernels_, "fp32", test::small_shape(GetParam())); }

  static Corpus corpus() { return test::random_corpus({1, 99, 100, 101, 700, 50, 333, 12}); }

  // The state after the first `count` tokens, without a ring.
  std::string state_after(const std::vector<TokenId>& tokens, Index count, const model::State* start) const {
    ThreadPool pool(1);
    model::State state(model_->state_shape());
    std::ranges::copy((start ? *start : model_->initial_state()).values(), state.values().begin());
    test::forward(*model_, {tokens.begin(), tokens.begin() + count}, {count}, state, host_stream(pool), false);
    return {reinterpret_cast<const char*>(state.values().data()), state.values().size_bytes()};
  }

  const kernels::KernelTable& kernels_ = kernels::find_backend("auto");
  std::unique_ptr<model::Model> model_;
};

TEST_P(ForkTest, EveryStateIsThatOfThePlainModel) {
  const plan::Sections sections{100, 7};
  model::State start(model_->state_shape());
  std::ranges::copy(model_->initial_state().values(), start.values().begin());
  ThreadPool pool(1);
  test::forward(*model_, test::random_tokens(9, 5), {9}, start, host_stream(pool), false);
  const Corpus documents = corpus();
  for (const model::State* from : {static_cast<const model::State*>(nullptr), static_cast<const model::State*>(&start)}) {
    RingRun run;
    run.ranks = 3, run.sections = sections, run.start = from;
    run.make_fork = [&] { return std::make_unique<Recorder>(sections); };
    const auto results = run_corpus(documents, *model_, kernels_, run);
    for (std::size_t d = 0; d < documents.size(); ++d) {
      const Index length = std::ssize(documents[d]);
      Index end = 0;
      for (const auto& [section, written] : results[d].written) {
        end = std::min(length, 100 + section * 107);
        EXPECT_TRUE(written.text == state_after(documents[d], end, from)) << "document " << d << ", section " << section;
        EXPECT_EQ(written.stop_reason, StopReason::length);
      }
      EXPECT_EQ(end, length) << "document " << d;
    }
  }
}

TEST_P(ForkTest, ReadingIsTheSameBitsWithAndWithoutAndForAnyRanksAndBlocks) {
  const Corpus documents = corpus();
  RingRun run;
  run.request = test::everything();
  const auto plain = run_corpus(documents, *model_, kernels_, run);
  run.sections = {100, 0};
  run.make_fork = [&] { return std::make_unique<Recorder>(run.sections); };
  const auto forked = run_corpus(documents, *model_, kernels_, run);
  for (std::size_t d = 0; d < documents.size(); ++d) {
    auto reading = forked[d];
    EXPECT_EQ(std::ssize(reading.written), (std::ssize(documents[d]) + 99) / 100);
    reading.written.clear();
    EXPECT_TRUE(same_bits(reading, plain[d])) << "document " << d;
  }
  for (const auto& [ranks, block] : {std::pair{2, 64}, {3, 48}, {5, 16}, {2, 1024}}) {
    run.ranks = ranks, run.block_tokens = block;
    expect_same_bits(run_corpus(documents, *model_, kernels_, run), forked, concat(ranks, " ranks, blocks of ", block));
  }
}

// Writes nothing but while it waits, and counts what it has written then.
class IdleWriter : public ring::Fork {
 public:
  IdleWriter(plan::Sections sections, std::atomic<Index>& written) : sections_(sections), written_(written) {}

  bool wants(const plan::Slice& slice) const override {
    return slice.last || sections_.end_after(slice.first_token) == slice.first_token + slice.tokens;
  }
  void take(const plan::Slice& slice, std::unique_ptr<model::State>) override { ends_.push_back(slice.first_token + slice.tokens); }
  void between_blocks(const Outlet&) override {}
  bool while_waiting(const Outlet& outlet) override {
    if (ends_.empty()) return false;
    give(outlet);
    ++written_;
    return true;
  }
  void finish(transport::Transport&, transport::Clock::duration, const Outlet& outlet) override {
    while (!ends_.empty()) give(outlet);
  }

 private:
  void give(const Outlet& outlet) {
    ring::SliceResult result;
    result.written = {ends_.back(), {1}, "a", StopReason::length};
    ends_.pop_back();
    outlet.post(std::move(result));
  }
  plan::Sections sections_;
  std::atomic<Index>& written_;
  std::vector<Index> ends_;
};

// The rank that reads the third block does not go on before the other one, which has the state of a section, has written: while
// it waits for the carry of that block (four blocks), or has read all that is its own (three).
TEST(IdleTime, IsForWriting) {
  const auto& kernels = kernels::find_backend("auto");
  const auto model = test::make_small_model(kernels, "fp32", test::small_shape("rwkv7"));
  for (const Index tokens : {256, 192}) {
    const Corpus lone{test::random_tokens(tokens, 3)};
    std::atomic<Index> written = 0, held_up = 0;
    RingRun run;
    run.ranks = 2, run.block_tokens = 64, run.sections = {128, 0};
    run.make_fork = [&] { return std::make_unique<IdleWriter>(run.sections, written); };
    run.before_tokens = [&](Index first, transport::Transport& transport) {
      if (first != 128) return;
      ++held_up;
      for (const auto deadline = transport::Clock::now() + std::chrono::seconds(30); written == 0 && transport::Clock::now() < deadline;) {
        transport.progress();  // what was sent before has yet to leave
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
      EXPECT_GT(written, 0) << tokens << " tokens";
    };
    EXPECT_EQ(std::ssize(run_corpus(lone, *model, kernels, run)[0].written), 2) << tokens << " tokens";
    EXPECT_GT(held_up, 0) << "nothing was held up, so nothing was shown";
  }
}

INSTANTIATE_TEST_SUITE_P(All, ForkTest, testing::Values("rwkv4", "rwkv6", "rwkv7"), [](const auto& test) { return std::string(test.param); });

// Every item ends up on one rank, whole, and no rank has two more than another when items can be moved.
TEST(EvenOut, MovesItemsUntilRanksAreEven) {
  struct Case {
    std::vector<Index> items, busy;
  };
  for (const Case& c : {Case{{10, 0, 0}, {0, 0, 0}}, Case{{0, 0, 7}, {4, 0, 0}}, Case{{3, 3, 3}, {0, 0, 0}}, Case{{0, 0, 0}, {5, 0, 1}},
                        Case{{1, 0, 12}, {0, 2, 0}}}) {
    const int ranks = static_cast<int>(c.items.size());
    std::vector<ring::Items> after(ranks);
    transport::run_ranks("threads", {ranks}, [&](transport::Transport& transport) {
      ring::Items mine;
      for (Index i = 0; i < c.items[transport.rank()]; ++i) {
        mine.emplace_back(static_cast<std::size_t>(i == 0 ? 0 : 100 * transport.rank() + i), std::byte(transport.rank() * 16 + i));
      }
      after[transport.rank()] = ring::even_out(transport, std::move(mine), c.busy[transport.rank()], std::chrono::seconds(20));
      return 0;
    });
    std::map<std::vector<std::byte>, int> seen;
    Index most = 0, least = 1000, all = 0;
    for (int rank = 0; rank < ranks; ++rank) {
      for (const auto& item : after[rank]) ++seen[item], ++all;
      most = std::max<Index>(most, std::ssize(after[rank]));
      least = std::min<Index>(least, std::ssize(after[rank]) + c.busy[rank]);
    }
    Index expected = 0, largest_busy = 0;
    for (int rank = 0; rank < ranks; ++rank) expected += c.items[rank], largest_busy = std::max(largest_busy, c.busy[rank]);
    EXPECT_EQ(all, expected);
    EXPECT_LE(most - least, 1) << "a rank could have given one more";
    for (int rank = 0; rank < ranks; ++rank) {
      for (Index i = 1; i < c.items[rank]; ++i) {
        EXPECT_EQ(seen.count(std::vector<std::byte>(static_cast<std::size_t>(100 * rank + i), std::byte(rank * 16 + i))), 1u);
      }
    }
  }
}

}  // namespace
}  // namespace riverrun
