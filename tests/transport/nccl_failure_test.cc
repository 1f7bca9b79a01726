// One rank of several fails while others wait for it on their GPUs, or NCCL cannot connect them: the job ends promptly with the
// words and the exit code that belong to it.
#include "tests/transport/job_end.h"

namespace riverrun::transport {
namespace {

TEST(NcclFailure, WrongInputEndsAllWithItsCode) { expect_end("input_error", 2, "rank 1 failed: page 7 is missing"); }
TEST(NcclFailure, AKilledRankEndsAll) { expect_end("kill", 137, ""); }
TEST(NcclFailure, WhatNcclReportsEndsAll) { expect_end("nccl_error", 1, "rank 1 failed: NCCL: "); }
TEST(NcclFailure, ASilentRankIsNoticedAtTheDeadline) { expect_end("silent", 1, "rank 1 has been silent"); }
TEST(NcclFailure, AMessageLeftBehindIsAnError) { expect_end("open_send", 1, "rank 1 ended with 1 messages"); }
TEST(NcclFailure, TwoRanksOnOneGpuAreRefused) {
  expect_end("same_gpu", 2, "ranks 1 and 2 are both on the GPU 0000:17:00.0");
  expect_end("same_gpu", 2, "use --transport mpi");
}
TEST(NcclFailure, RanksWithoutAGpuAreRefused) { expect_end("cpu", 2, "say --backend cuda"); }

}  // namespace
}  // namespace riverrun::transport
