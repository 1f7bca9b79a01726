// Ranks as threads: the cases of all transports, and what happens when one rank fails.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "core/error.h"
#include "tests/transport/cases.h"
#include "tests/transport/failure_of.h"

namespace riverrun::transport {
namespace {
using namespace std::chrono_literals;
using Bytes = std::vector<std::byte>;

class ThreadsCase : public testing::TestWithParam<std::tuple<std::size_t, int>> {};

TEST_P(ThreadsCase, Holds) {
  const auto [number, ranks] = GetParam();
  const auto body = [&](Transport& transport) {
    cases()[number].run(transport);
    return 0;
  };
  EXPECT_EQ(run_ranks("threads", {.ranks = ranks}, body), 0);
}

INSTANTIATE_TEST_SUITE_P(All, ThreadsCase,
                         testing::Combine(testing::Range(std::size_t{0}, cases().size()), testing::Values(2, 3, 5, 8)),
                         [](const auto& of) {
                           return std::string(cases()[std::get<0>(of.param)].name) + "_" +
                                  std::to_string(std::get<1>(of.param));
                         });

// Waits for a message that never comes.
[[noreturn]] void wait_for_nothing(Transport& transport) {
  Bytes bytes(1);
  finish(transport, transport.post_receive((transport.rank() + 1) % transport.size(), 77, bytes));
  throw std::logic_error("a message out of nowhere");
}

TEST(ThreadsFailure, TheFirstExceptionEndsAllAndIsThrown) {
  for (const int ranks : {1, 2, 3, 8}) {
    const int failing = ranks - 1;
    std::atomic<int> aborted = 0;
    const auto body = [&](Transport& transport) -> int {
      if (transport.rank() == failing) throw InputError("page 7 is missing");
      try {
        wait_for_nothing(transport);
      } catch (const Error& error) {
        EXPECT_EQ(error.what(), concat("rank ", failing, " failed: page 7 is missing"));
        EXPECT_EQ(error.code(), ExitCode::bad_input);
        ++aborted;
        throw;
      }
    };
    EXPECT_THROW(run_ranks("threads", {.ranks = ranks}, body), InputError);
    EXPECT_EQ(aborted, ranks - 1);
  }
}

TEST(ThreadsFailure, AnyExceptionWillDo) {
  EXPECT_EQ(failure_of(3, [](Transport& transport) -> int {
    if (transport.rank() == 1) throw std::bad_alloc();
    wait_for_nothing(transport);
  }), "std::bad_alloc");
  EXPECT_THROW(run_ranks("threads", {.ranks = 2}, [](Transport& transport) -> int {
    if (transport.rank() == 1) throw 5;
    wait_for_nothing(transport);
  }), int);
}

TEST(ThreadsFailure, AbortEndsAllEvenWhenItsRankReturns) {
  EXPECT_EQ(failure_of(3, [](Transport& transport) -> int {
    if (transport.rank() == 2) {
      transport.abort("disk full", 1);
      return 0;
    }
    wait_for_nothing(transport);
  }), "rank 2 failed: disk full");
  EXPECT_EQ(failure_of(1, [](Transport& transport) {
    transport.abort("alone", 0);
    return 0;
  }), "rank 0 failed: alone");
}

TEST(ThreadsFailure, EveryCallLearnsOfAnAbort) {
  using Call = void (*)(Transport&);
  const Call calls[] = {
      [](Transport& t) { t.progress(); },
      [](Transport& t) { t.done(1); },
      [](Transport& t) { t.post_result(Bytes(1)); },
      [](Transport& t) { t.take_result(); },
      [](Transport& t) { t.results_in_flight(); },
      [](Transport& t) { t.barrier("b", kDeadline); },
      [](Transport& t) { t.gather({}, "g", kDeadline); },
      [](Transport& t) { Bytes bytes; t.broadcast(bytes, "c", kDeadline); },
      [](Transport& t) { Bytes bytes(1); t.post_send(1, 0, bytes); },
      [](Transport& t) { Bytes bytes(1); t.post_receive(1, 0, bytes); },
  };
  for (const Call call : calls) {
    std::atomic<bool> aborted = false;
    EXPECT_EQ(failure_of(2, [&](Transport& transport) -> int {
      if (transport.rank() == 1) {
        transport.abort("stop", 1);
        aborted = true;
        return 0;
      }
      while (!aborted) std::this_thread::yield();
      EXPECT_THROW(call(transport), Error);
      return 0;
    }), "rank 1 failed: stop");
  }
}

// A failing rank's buffers are gone while others still send to it and receive from it.
TEST(ThreadsFailure, BuffersOfAFailedRankAreNotTouched) {
  for (int round = 0; round < 50; ++round) {
    EXPECT_EQ(failure_of(3, [&](Transport& transport) -> int {
      Bytes in(100'000), out(100'000);
      if (transport.rank() == 1) {
        transport.post_receive(0, 1, in);
        transport.post_send(2, 1, out);
        throw Error("gone");
      }
      std::this_thread::sleep_for(1us * (round * 7));
      if (transport.rank() == 0) finish(transport, transport.post_send(1, 1, out));
      if (transport.rank() == 2) finish(transport, transport.post_receive(1, 1, in));
      wait_for_nothing(transport);
    }), "gone");
  }
}

TEST(ThreadsFailure, ARankThatDoesNotComeIsNamedByTheStep) {
  const std::string text = failure_of(3, [](Transport& transport) {
    if (transport.rank() != 1) transport.barrier("start of the ring", 50ms);
    return 0;
  });
  EXPECT_NE(text.find(" s for the other ranks: start of the ring"), std::string::npos) << text;
}

TEST(ThreadsFailure, RanksThatCallDifferentCollectivesAreTold) {
  const std::string text = failure_of(2, [](Transport& transport) {
    Bytes bytes;
    if (transport.rank() == 0) transport.barrier("step one", kDeadline);
    if (transport.rank() == 1) transport.broadcast(bytes, "step two", kDeadline);
    return 0;
  });
  EXPECT_NE(text.find("where others call"), std::string::npos) << text;
}

TEST(ThreadsFailure, NothingMayBeLeftBehind) {
  const std::string result = failure_of(2, [](Transport& transport) {
    if (transport.rank() == 1) transport.post_result(Bytes(5));
    transport.barrier("posted", kDeadline);
    return 0;
  });
  EXPECT_NE(result.find("rank 0 ended with 1 results untaken"), std::string::npos) << result;
  const std::string message = failure_of(2, [](Transport& transport) {
    Bytes bytes(1);
    if (transport.rank() == 1) transport.post_receive(0, 0, bytes);
    return 0;
  });
  EXPECT_NE(message.find("rank 1 ended with 1 messages not seen through"), std::string::npos) << message;
}

TEST(Threads, TheGreatestExitCodeIsReturned) {
  EXPECT_EQ(run_ranks("threads", {.ranks = 4}, [](Transport& t) { return t.rank() == 2 ? 3 : 0; }), 3);
}

TEST(Threads, OneRankAloneHasCollectivesAndResults) {
  const auto body = [](Transport& transport) {
    Bytes bytes(3, std::byte{7});
    EXPECT_EQ(transport.rank(), 0);
    EXPECT_EQ(transport.size(), 1);
    transport.barrier("b", kDeadline);
    transport.broadcast(bytes, "c", kDeadline);
    EXPECT_EQ(bytes, Bytes(3, std::byte{7}));
    EXPECT_EQ(transport.gather(bytes, "g", kDeadline), std::vector<Bytes>{bytes});
    transport.post_result(bytes);
    EXPECT_EQ(transport.results_in_flight(), 3);
    EXPECT_EQ(transport.take_result(), bytes);
    EXPECT_EQ(transport.results_in_flight(), 0);
    EXPECT_TRUE(transport.take_result().empty());
    EXPECT_THROW(transport.post_send(0, 0, bytes), Error);
    EXPECT_THROW(transport.post_receive(1, 0, bytes), Error);
    EXPECT_THROW(transport.done(1), Error);
    EXPECT_THROW(transport.post_result({}), Error);
    return 0;
  };
  EXPECT_EQ(run_ranks("threads", {.ranks = 1}, body), 0);
  EXPECT_EQ(run_ranks("self", {}, body), 0);
}

}  // namespace
}  // namespace riverrun::transport
