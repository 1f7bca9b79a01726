// What rank 0 tells the other ranks arrives whole, or not at all.

#include "jobs/run/work_list.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>

#include "core/error.h"

namespace riverrun::jobs {
namespace {

WorkList sample() { return {"out.h5.1-2.tokens", Index{1} << 41, 1, 512, {0, 5, 5}, {5, 0, 7}, {0, 0, 4}, {0, 0, 0xfedcba98}, {3, ~std::uint64_t{0}, 9}}; }

TEST(WorkList, ComesBackAsItWas) {
  const WorkList sent = sample(), got = unpack_work_list(pack(sent));
  EXPECT_EQ(got.spool_path, sent.spool_path);
  EXPECT_EQ(got.spool_tokens, sent.spool_tokens);
  EXPECT_EQ(got.start_tokens, sent.start_tokens);
  EXPECT_EQ(got.block_tokens, sent.block_tokens);
  EXPECT_EQ(got.first, sent.first);
  EXPECT_EQ(got.length, sent.length);
  EXPECT_EQ(got.begin, sent.begin);
  EXPECT_EQ(got.begin_crc, sent.begin_crc);
  EXPECT_EQ(got.key, sent.key);
  EXPECT_TRUE(unpack_work_list(pack(WorkList{})).first.empty());
}

TEST(WorkList, CutOrLongMessagesAreRefused) {
  auto message = pack(sample());
  for (std::size_t size = 0; size < message.size(); ++size) EXPECT_THROW(unpack_work_list(std::span(message).first(size)), Error) << size;
  message.push_back({});
  EXPECT_THROW(unpack_work_list(message), Error);
}

TEST(WorkList, HostileNumbersAreRefused) {
  const auto good = pack(sample());
  for (const std::size_t at : {24, 32, 40, 48}) {  // how many documents, how many keys, how long the path, how many beginnings
    for (const Index number : {Index{-1}, std::numeric_limits<Index>::min(), std::numeric_limits<Index>::max(), Index{1} << 60}) {
      auto message = good;
      std::memcpy(message.data() + at, &number, sizeof number);
      EXPECT_THROW(unpack_work_list(message), Error) << at << " " << number;
    }
  }
}

}  // namespace
}  // namespace riverrun::jobs
