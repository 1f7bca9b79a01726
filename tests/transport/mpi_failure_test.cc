// One process of several fails: the job ends promptly with that rank's words and exit code.
#include "tests/transport/job_end.h"

namespace riverrun::transport {
namespace {

TEST(MpiFailure, WrongInputEndsAllWithItsCode) { expect_end("input_error", 2, "rank 1 failed: page 7 is missing"); }
TEST(MpiFailure, AnyExceptionEndsAll) { expect_end("exception", 1, "rank 1 failed: broken pipe organ"); }
TEST(MpiFailure, AnAbortEndsAllWithItsCode) { expect_end("abort", 42, "rank 1 failed: disk full"); }
TEST(MpiFailure, AKilledRankEndsAll) { expect_end("kill", 137, ""); }
TEST(MpiFailure, AMissingRankIsNoticedAtTheDeadline) { expect_end("late", 1, "for the other ranks: start of the ring"); }
TEST(MpiFailure, AllRanksEndWithTheGreatestCode) { expect_end("code", 3, ""); }
TEST(MpiFailure, AResultLeftBehindIsAnError) { expect_end("untaken", 1, "rank 0 ended before it took all results"); }
TEST(MpiFailure, AMessageLeftBehindIsAnError) { expect_end("open_send", 1, "rank 1 ended with 1 messages"); }

}  // namespace
}  // namespace riverrun::transport
