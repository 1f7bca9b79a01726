#include "tests/transport/cases.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <map>
#include <random>
#include <thread>

#include "core/error.h"

namespace riverrun::transport {

namespace {
using namespace std::chrono_literals;
using Bytes = std::vector<std::byte>;

int after(const Transport& transport) { return (transport.rank() + 1) % transport.size(); }
int before(const Transport& transport) { return (transport.rank() + transport.size() - 1) % transport.size(); }

void sleep_at_random(std::minstd_rand& random) { std::this_thread::sleep_for(1us * (random() % 400)); }

// Messages go round, ranks out of step.
void ring(Transport& transport) {
  std::minstd_rand random(transport.rank() + 1);
  for (unsigned round = 0; round < 60; ++round) {
    const Index size = std::vector<Index>{0, 1, 17, 1000, 4096, 70'000}[round % 6];
    Bytes in(size), out = pattern(size, round * 100 + transport.rank());
    sleep_at_random(random);
    const Ticket receive = transport.post_receive(before(transport), round, in);
    sleep_at_random(random);
    const Ticket send = transport.post_send(after(transport), round, out);
    finish(transport, receive);
    finish(transport, send);
    ASSERT_EQ(in, pattern(size, round * 100 + before(transport)));
  }
}

void tags_out_of_order(Transport& transport) {
  const std::vector<Index> sent = {1, 3, 5, 7}, received = {7, 1, 5, 3};
  std::vector<Bytes> out, in(received.size(), Bytes(100));
  std::vector<Ticket> tickets;
  for (const Index tag : sent) out.push_back(pattern(100, static_cast<unsigned>(tag)));
  for (std::size_t i = 0; i < sent.size(); ++i) tickets.push_back(transport.post_send(after(transport), sent[i], out[i]));
  for (std::size_t i = 0; i < received.size(); ++i)
    finish(transport, transport.post_receive(before(transport), received[i], in[i]));
  for (const Ticket ticket : tickets) finish(transport, ticket);
  for (std::size_t i = 0; i < received.size(); ++i) EXPECT_EQ(in[i], pattern(100, static_cast<unsigned>(received[i])));
}

void first_posted_is_first_received(Transport& transport) {
  constexpr unsigned kMessages = 50;
  std::vector<Bytes> in, out;
  std::vector<Ticket> tickets;
  for (unsigned i = 0; i < kMessages; ++i) in.emplace_back(i * 100), out.push_back(pattern(i * 100, i));
  // Some meet a waiting send, some a waiting receive.
  const bool receives_first = transport.rank() % 2 == 0;
  const auto receive_all = [&] {
    for (auto& bytes : in) tickets.push_back(transport.post_receive(before(transport), 9, bytes));
  };
  if (receives_first) receive_all();
  for (const auto& bytes : out) tickets.push_back(transport.post_send(after(transport), 9, bytes));
  if (!receives_first) receive_all();
  // Asked in any order.
  std::shuffle(tickets.begin(), tickets.end(), std::minstd_rand(5));
  for (const Ticket ticket : tickets) finish(transport, ticket);
  EXPECT_EQ(in, out);
}

// Nobody receives before everybody has posted: sends must not block.
void all_to_all_of_large_messages(Transport& transport) {
  constexpr Index kSize = 1 << 18;  // more than any transport sends without a receive
  std::vector<Bytes> in, out;
  std::vector<Ticket> tickets;
  for (int peer = 0; peer < transport.size(); ++peer) {
    in.emplace_back(kSize);
    out.push_back(pattern(kSize, transport.rank() * 10 + peer));
    if (peer != transport.rank()) tickets.push_back(transport.post_send(peer, 0, out[peer]));
  }
  for (int peer = 0; peer < transport.size(); ++peer)
    if (peer != transport.rank()) tickets.push_back(transport.post_receive(peer, 0, in[peer]));
  for (const Ticket ticket : tickets) finish(transport, ticket);
  for (int peer = 0; peer < transport.size(); ++peer) {
    if (peer == transport.rank()) continue;
    EXPECT_EQ(in[peer], pattern(kSize, peer * 10 + transport.rank())) << peer;
  }
}

// Random sizes, tags and peers. Every rank can work out all messages, so it knows what it has to get.
void storm(Transport& transport) {
  struct Sent {
    int from, to;
    Index tag, size;
    unsigned seed;
  };
  std::minstd_rand random(7);
  std::vector<Sent> all;
  for (unsigned i = 0; i < 400; ++i) {
    const int from = static_cast<int>(random() % transport.size());
    const int to = (from + 1 + static_cast<int>(random() % (transport.size() - 1))) % transport.size();
    all.push_back({from, to, static_cast<Index>(random() % 5), static_cast<Index>(random() % 3000), i});
  }
  std::minstd_rand own(transport.rank() + 100);
  std::map<unsigned, Bytes> in, out;
  std::vector<Ticket> tickets;
  for (const Sent& sent : all) {
    if (own() % 8 == 0) sleep_at_random(own);
    if (sent.to == transport.rank()) {
      auto& bytes = in[sent.seed] = Bytes(sent.size);
      tickets.push_back(transport.post_receive(sent.from, sent.tag, bytes));
    } else if (sent.from == transport.rank()) {
      auto& bytes = out[sent.seed] = pattern(sent.size, sent.seed);
      tickets.push_back(transport.post_send(sent.to, sent.tag, bytes));
    }
  }
  for (const Ticket ticket : tickets) finish(transport, ticket);
  for (const auto& [seed, bytes] : in) ASSERT_EQ(bytes, pattern(std::ssize(bytes), seed));
}

void a_send_waits_for_its_receive(Transport& transport) {
  Bytes bytes = pattern(10, 3);
  if (transport.rank() == 0) {
    const Ticket send = transport.post_send(1, 0, bytes);
    for (int poll = 0; poll < 100; ++poll) ASSERT_FALSE(transport.done(send));
    transport.barrier("receive can be posted", kDeadline);
    finish(transport, send);
  } else {
    transport.barrier("receive can be posted", kDeadline);
    if (transport.rank() == 1) finish(transport, transport.post_receive(0, 0, bytes));
  }
}

void a_message_of_another_length_is_an_error(Transport& transport) {
  for (const Index expected : {Index{0}, Index{99}, Index{101}, Index{500}}) {
    Bytes bytes(transport.rank() == 0 ? 100 : expected);
    if (transport.rank() == 0) finish(transport, transport.post_send(1, 33, bytes));
    if (transport.rank() == 1) {
      const Ticket ticket = transport.post_receive(0, 33, bytes);
      try {
        finish(transport, ticket);
        ADD_FAILURE() << expected << " bytes accepted";
      } catch (const Error& error) {
        const std::string text = error.what();
        EXPECT_NE(text.find("rank 1 got"), std::string::npos) << text;
        EXPECT_NE(text.find("from rank 0 with tag 33 where it expected " + std::to_string(expected)),
                  std::string::npos) << text;
      }
    }
  }
}

void a_wait_ends_at_its_deadline(Transport& transport) {
  Bytes bytes(8);
  if (transport.rank() == 1) {
    const Ticket ticket = transport.post_receive(0, 2, bytes);
    bool idled = false;
    const auto begin = Clock::now();
    try {
      wait_until(transport, [&] { return transport.done(ticket); }, 50ms,
                 [] { return "state (block 12, layer 7) from rank 0"; }, [&] { idled = true; });
      ADD_FAILURE() << "nothing was sent";
    } catch (const Error& error) {
      const std::string text = error.what();
      double waited = 0;
      EXPECT_EQ(std::sscanf(text.c_str(), "rank 1 waited %lf s", &waited), 1) << text;
      EXPECT_GE(waited, 0.05) << text;
      EXPECT_NE(text.find(" s for state (block 12, layer 7) from rank 0"), std::string::npos) << text;
    }
    EXPECT_GE(Clock::now() - begin, 50ms);
    EXPECT_LT(Clock::now() - begin, kDeadline);
    EXPECT_TRUE(idled);
    transport.barrier("deadline seen", kDeadline);
    finish(transport, ticket);
  } else {
    transport.barrier("deadline seen", kDeadline);
    if (transport.rank() == 0) finish(transport, transport.post_send(1, 2, bytes));
  }
}

void wrong_addresses_are_refused(Transport& transport) {
  Bytes bytes(1);
  EXPECT_THROW(transport.post_send(transport.rank(), 0, bytes), Error);
  EXPECT_THROW(transport.post_send(transport.size(), 0, bytes), Error);
  EXPECT_THROW(transport.post_receive(-1, 0, bytes), Error);
  EXPECT_THROW(transport.post_receive(after(transport), -1, bytes), Error);
  EXPECT_THROW(transport.done(0), Error);
  EXPECT_THROW(transport.done(1'000'000'000), Error);
  EXPECT_THROW(transport.post_result({}), Error);
}

void the_greatest_tag_can_be_used(Transport& transport) {
  ASSERT_GE(transport.most_tag(), 32'767);
  Bytes in(5), out = pattern(5, 1);
  const Ticket receive = transport.post_receive(before(transport), transport.most_tag(), in);
  const Ticket send = transport.post_send(after(transport), transport.most_tag(), out);
  finish(transport, send);
  finish(transport, receive);
  EXPECT_EQ(in, out);
  EXPECT_THROW(transport.done(send), Error) << "a ticket is true once";
}

// Sends that nobody receives and receives that nobody sends to, of all sizes and at any stage, hold nobody up.
void what_is_under_way_can_be_abandoned(Transport& transport) {
  constexpr Index kTag = 31'337;  // no other case's: short messages may still arrive
  std::minstd_rand random(transport.rank() + 1);
  std::vector<Bytes> in, out;
  for (const Index size : {1, 1000, 70'000, 3'000'000}) in.emplace_back(size), out.push_back(pattern(size, 1));
  const auto rank = static_cast<std::size_t>(transport.rank());
  for (std::size_t i = 0; i < in.size(); ++i) {
    // Some meet their other half, some do not.
    if ((i + rank) % 3 != 0) transport.post_send(after(transport), kTag, out[i]);
    sleep_at_random(random);
  }
  transport.post_receive(before(transport), kTag + 1, in[0]);
  transport.post_receive(before(transport), kTag + 1, in[1]);
  transport.abandon(kDeadline);
  std::vector<std::byte> bytes(1, std::byte{7});
  transport.broadcast(bytes, "a word after it", kDeadline);
  EXPECT_EQ(bytes[0], std::byte{7});
}

constexpr Case kMessageCases[] = {
    {"ring", ring},
    {"tags_out_of_order", tags_out_of_order},
    {"first_posted_is_first_received", first_posted_is_first_received},
    {"all_to_all_of_large_messages", all_to_all_of_large_messages},
    {"storm", storm},
    {"a_send_waits_for_its_receive", a_send_waits_for_its_receive, true},
    {"a_message_of_another_length_is_an_error", a_message_of_another_length_is_an_error},
    {"a_wait_ends_at_its_deadline", a_wait_ends_at_its_deadline},
    {"wrong_addresses_are_refused", wrong_addresses_are_refused},
    {"the_greatest_tag_can_be_used", the_greatest_tag_can_be_used},
    {"what_is_under_way_can_be_abandoned", what_is_under_way_can_be_abandoned},
};
}  // namespace

std::span<const Case> cases() {
  static const std::vector<Case> all = [] {
    std::vector<Case> both(std::begin(kMessageCases), std::end(kMessageCases));
    const auto results = result_cases();
    both.insert(both.end(), results.begin(), results.end());
    return both;
  }();
  return all;
}

std::vector<std::byte> pattern(Index size, unsigned seed) {
  std::minstd_rand random(seed + 1);
  std::vector<std::byte> bytes(size);
  for (auto& byte : bytes) byte = static_cast<std::byte>(random() >> 7);
  return bytes;
}

void finish(Transport& transport, Ticket ticket) {
  wait_until(transport, [&] { return transport.done(ticket); }, kDeadline,
             [&] { return concat("ticket ", ticket, " of a test"); });
}

}  // namespace riverrun::transport
