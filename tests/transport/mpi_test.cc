// The cases of all transports over MPI. With the argument "strict" sends wait for their receives and messages travel
// in small pieces.
#include <gtest/gtest.h>

#include <cstring>

#include "core/error.h"
#include "tests/transport/cases.h"

namespace riverrun::transport {
namespace {

Transport* world = nullptr;
bool strict = false;

class MpiCase : public testing::TestWithParam<std::size_t> {};

TEST_P(MpiCase, Holds) {
  if (cases()[GetParam()].needs_rendezvous && !strict) GTEST_SKIP() << "short messages are buffered unless strict";
  cases()[GetParam()].run(*world);
  world->barrier(cases()[GetParam()].name, kDeadline);
}

INSTANTIATE_TEST_SUITE_P(All, MpiCase, testing::Range(std::size_t{0}, cases().size()),
                         [](const auto& of) { return std::string(cases()[of.param].name); });

// Rank 0 prints everything, the others only what failed.
void quieten() {
  auto& listeners = testing::UnitTest::GetInstance()->listeners();
  struct FailuresOnly : testing::EmptyTestEventListener {
    void OnTestPartResult(const testing::TestPartResult& result) override {
      if (result.failed())
        std::fprintf(stderr, "rank %d: %s:%d: %s\n", world->rank(), result.file_name(), result.line_number(),
                     result.message());
    }
  };
  delete listeners.Release(listeners.default_result_printer());
  listeners.Append(new FailuresOnly);
}

}  // namespace
}  // namespace riverrun::transport

int main(int argc, char** argv) {
  using namespace riverrun::transport;
  testing::InitGoogleTest(&argc, argv);
  testing::GTEST_FLAG(throw_on_failure) = false;
  strict = argc > 1 && std::strcmp(argv[1], "strict") == 0;
  Options options;
  if (strict) options.synchronous_sends = true, options.piece_bytes = 1000;
  return run_ranks("mpi", options, [](Transport& transport) {
    world = &transport;
    if (transport.rank() != 0) quieten();
    return RUN_ALL_TESTS();
  });
}
