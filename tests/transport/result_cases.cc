// Collectives, and results on their way to rank 0.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <thread>

#include "core/error.h"
#include "tests/transport/cases.h"

namespace riverrun::transport {

namespace {
using namespace std::chrono_literals;
using Bytes = std::vector<std::byte>;

// Nobody leaves before the last has come; all ranks are on one machine and read one clock.
void a_barrier_holds_until_all_are_there(Transport& transport) {
  for (int late = 0; late < transport.size(); ++late) {
    if (transport.rank() == late) std::this_thread::sleep_for(10ms);
    const auto came = Clock::now();
    transport.barrier("one is late", kDeadline);
    const std::array<Clock::time_point, 2> times = {came, Clock::now()};
    const auto bytes = std::as_bytes(std::span(times));
    Clock::time_point last_came{}, first_left = Clock::time_point::max();
    for (const Bytes& of_rank : transport.gather({bytes.begin(), bytes.end()}, "times", kDeadline)) {
      std::array<Clock::time_point, 2> other;
      ASSERT_EQ(of_rank.size(), sizeof other);
      std::memcpy(&other, of_rank.data(), sizeof other);
      last_came = std::max(last_came, other[0]);
      first_left = std::min(first_left, other[1]);
    }
    EXPECT_LE(last_came, first_left) << "rank " << late << " was late";
  }
}

void broadcasts_reach_all(Transport& transport) {
  for (const Index size : {0, 1, 1000, 1001, 500'000}) {
    Bytes bytes = transport.rank() == 0 ? pattern(size, 4) : Bytes(13, std::byte{1});
    transport.broadcast(bytes, "options", kDeadline);
    EXPECT_EQ(bytes, pattern(size, 4)) << size;
  }
}

void gathers_bring_one_vector_per_rank(Transport& transport) {
  for (const Index size : {0, 1, 999, 100'000}) {
    const auto all = transport.gather(pattern(size * transport.rank(), transport.rank()), "lengths", kDeadline);
    if (transport.rank() != 0) {
      EXPECT_TRUE(all.empty());
      continue;
    }
    ASSERT_EQ(std::ssize(all), transport.size());
    for (int rank = 0; rank < transport.size(); ++rank) EXPECT_EQ(all[rank], pattern(size * rank, rank));
  }
}

Bytes result_of(int rank, unsigned number) {
  Bytes bytes = pattern(2 + (rank * 37 + number * 911) % 5000, number);
  bytes[0] = static_cast<std::byte>(rank);
  return bytes;
}

void results_reach_rank_0_whole_and_in_order(Transport& transport) {
  constexpr unsigned kResults = 100;
  std::vector<unsigned> taken(transport.size(), 0);
  const auto take_all = [&] {
    for (Bytes bytes; !(bytes = transport.take_result()).empty();) {
      const int rank = static_cast<int>(bytes[0]);
      ASSERT_LT(rank, transport.size());
      ASSERT_EQ(bytes, result_of(rank, taken[rank]++)) << "from rank " << rank;
    }
  };
  for (unsigned number = 0; number < kResults; ++number) {
    transport.post_result(result_of(transport.rank(), number));
    if (transport.rank() == 0) take_all();
  }
  if (transport.rank() == 0) {
    const auto all_here = [&] { return std::count(taken.begin(), taken.end(), kResults) == transport.size(); };
    wait_until(transport, all_here, kDeadline, [] { return "results"; }, take_all);
  }
  wait_until(transport, [&] { return transport.results_in_flight() == 0; }, kDeadline, [] { return "an empty queue"; });
}

void results_count_as_in_flight_until_taken(Transport& transport) {
  constexpr Index kSize = 3'000'000;
  EXPECT_EQ(transport.results_in_flight(), 0);
  transport.post_result(pattern(kSize, transport.rank()));
  EXPECT_EQ(transport.results_in_flight(), kSize);
  transport.barrier("all have posted", kDeadline);
  EXPECT_EQ(transport.results_in_flight(), kSize);
  transport.barrier("all have looked", kDeadline);
  if (transport.rank() == 0) {
    int taken = 0;
    const auto take = [&] {
      const Bytes bytes = transport.take_result();
      if (bytes.empty()) return;
      EXPECT_EQ(std::ssize(bytes), kSize);
      ++taken;
    };
    wait_until(transport, [&] { return taken == transport.size(); }, kDeadline, [] { return "results"; }, take);
  }
  wait_until(transport, [&] { return transport.results_in_flight() == 0; }, kDeadline, [] { return "an empty queue"; });
  if (transport.rank() == 0) {
    EXPECT_TRUE(transport.take_result().empty());
  } else {
    EXPECT_THROW(transport.take_result(), Error);
  }
}

constexpr Case kResultCases[] = {
    {"a_barrier_holds_until_all_are_there", a_barrier_holds_until_all_are_there},
    {"broadcasts_reach_all", broadcasts_reach_all},
    {"gathers_bring_one_vector_per_rank", gathers_bring_one_vector_per_rank},
    {"results_reach_rank_0_whole_and_in_order", results_reach_rank_0_whole_and_in_order},
    {"results_count_as_in_flight_until_taken", results_count_as_in_flight_until_taken},
};
}  // namespace

std::span<const Case> result_cases() { return kResultCases; }

}  // namespace riverrun::transport
