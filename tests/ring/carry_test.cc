// A carry's messages are told apart and checked: what arrives damaged, late or in the wrong place ends the job with words.

#include <gtest/gtest.h>

#include <thread>

#include "core/error.h"
#include "tests/support/ring_corpus.h"
#include "tests/support/small_model.h"

namespace riverrun {
namespace {

const model::StateShape kShape{3, 12, 64, 32};

TEST(CarryLayout, MessagesAreDistinctAndCoverEveryPart) {
  const ring::CarryLayout layout(kShape, 8);
  EXPECT_EQ(layout.groups(), 3);
  Index parts = 0;
  for (Index group = 0; group < layout.groups(); ++group) parts += layout.parts(group);
  EXPECT_EQ(parts, kShape.parts);
  EXPECT_EQ(layout.sums(), layout.messages() - 1);
  EXPECT_EQ(layout.payload_bytes(layout.time_row(0)), 0) << "it follows from the token id";
  Index end = 0;
  for (Index message = 0; message < layout.messages(); ++message) {
    EXPECT_GE(layout.offset(message), end);
    EXPECT_EQ(layout.offset(message) % 64, 0);
    end = layout.offset(message) + layout.payload_bytes(message);
  }
  EXPECT_LE(end, layout.bytes());
}

class SealedCarry : public testing::Test {
 protected:
  const ring::CarryLayout layout_{kShape, 8};
  ring::Carry carry_{layout_, host_device()};
  const plan::Slice from_{7, 1024, 512, false};
  const Index message_ = layout_.state(1, 2);

  void SetUp() override {
    std::fill_n(carry_.floats(message_), layout_.payload_bytes(message_) / 4, 1.5f);
    carry_.seal(message_, 42, from_);
  }
  std::string failure(Index message, Index edge, const plan::Slice& from) {
    try {
      carry_.verify(message, edge, from);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
};

TEST_F(SealedCarry, IsAcceptedAsWhatItIs) { EXPECT_EQ(failure(message_, 42, from_), ""); }

TEST_F(SealedCarry, IsRefusedAsAnythingElse) {
  EXPECT_NE(failure(message_, 43, from_).find("edge 43"), std::string::npos);
  EXPECT_NE(failure(message_, 42, {8, 1024, 512, false}).find("document 8"), std::string::npos);
  EXPECT_NE(failure(message_, 42, {7, 512, 512, false}).find("slice at 512"), std::string::npos);
}

TEST_F(SealedCarry, EveryFlippedBitIsNoticed) {
  const auto bytes = carry_.message(message_);
  for (std::size_t bit = 0; bit < bytes.size() * 8; bit += 61) {
    bytes[bit / 8] ^= std::byte(1 << (bit % 8));
    EXPECT_NE(failure(message_, 42, from_), "") << "bit " << bit;
    bytes[bit / 8] ^= std::byte(1 << (bit % 8));
  }
  EXPECT_EQ(failure(message_, 42, from_), "");
}

TEST(RingDeadline, ANeighbourThatNeverComesIsNamed) {
  const auto& kernels = kernels::find_backend("auto");
  const auto model = test::make_small_model(kernels, "fp32");
  const test::Corpus corpus{test::random_tokens(400, 1)};
  const plan::Plan plan = test::plan_corpus(corpus, *model, 2, 64);
  test::RingRun run;
  run.ranks = 2, run.timeout_seconds = 0.5;
  run.request.embedding = true;
  test::ResultCollector collector(1, model->config().channels);
  std::string message;
  try {
    transport::run_ranks("threads", {2}, [&](transport::Transport& transport) {
      if (transport.rank() == 1) std::this_thread::sleep_for(std::chrono::seconds(3));  // a rank that hangs
      else test::run_rank(corpus, plan, *model, kernels, run, transport, collector);
      return 0;
    });
  } catch (const Error& error) {
    message = error.what();
  }
  for (const char* part : {"rank 0", "rank 1", "document 0", "layer 0"}) {
    EXPECT_NE(message.find(part), std::string::npos) << part << " is not in: " << message;
  }
}

TEST(SliceResult, GoesThroughBytesUnchanged) {
  ring::SliceResult result{3, 192, 64, true, false, {2, 200}, 128, {-1.0f, -2.0f}, 5, {0.5f}, {1, 2, 3}, {}};
  const auto bytes = ring::pack(result);
  EXPECT_EQ(ring::unpack(bytes), result);
  for (std::size_t cut = 0; cut < bytes.size(); ++cut) EXPECT_THROW(ring::unpack(std::span(bytes).first(cut)), Error);
}

TEST(CarryCopy, GoesThroughBytesUnchangedAndIsNoResult) {
  const ring::CarryCopy copy{3, 128, 0xdeadbeef, {std::byte{1}, std::byte{2}, std::byte{3}}};
  const auto bytes = ring::pack(copy);
  EXPECT_EQ(ring::kind_of(bytes), ring::Message::carry);
  EXPECT_EQ(ring::unpack_carry(bytes), copy);
  EXPECT_THROW(ring::unpack(bytes), Error);
  EXPECT_THROW(ring::unpack_word(bytes), Error);
  EXPECT_THROW(ring::unpack_carry(ring::pack(ring::SliceResult{})), Error);
  for (const bool stop : {false, true}) EXPECT_EQ(ring::unpack_word(ring::pack_word(stop)), stop);
}

}  // namespace
}  // namespace riverrun
