#include "tests/transport/process_cases.h"

#include <gtest/gtest.h>

#include "core/error.h"
#include "tests/transport/cases.h"

namespace riverrun::transport {
namespace {

Transport* started = nullptr;
bool short_sends_are_buffered = false;

class ProcessCase : public testing::TestWithParam<std::size_t> {};

TEST_P(ProcessCase, Holds) {
  if (cases()[GetParam()].needs_rendezvous && short_sends_are_buffered) GTEST_SKIP() << "short messages are buffered";
  cases()[GetParam()].run(*started);
  started->barrier(cases()[GetParam()].name, kDeadline);
}

INSTANTIATE_TEST_SUITE_P(All, ProcessCase, testing::Range(std::size_t{0}, cases().size()),
                         [](const auto& of) { return std::string(cases()[of.param].name); });

void quieten() {
  auto& listeners = testing::UnitTest::GetInstance()->listeners();
  struct FailuresOnly : testing::EmptyTestEventListener {
    void OnTestPartResult(const testing::TestPartResult& result) override {
      if (result.failed())
        std::fprintf(stderr, "rank %d: %s:%d: %s\n", started->rank(), result.file_name(), result.line_number(),
                     result.message());
    }
  };
  delete listeners.Release(listeners.default_result_printer());
  listeners.Append(new FailuresOnly);
}

}  // namespace

Transport& this_rank() { return *started; }

int run_all_tests(Transport& transport, bool buffers) {
  started = &transport, short_sends_are_buffered = buffers;
  if (transport.rank() != 0) quieten();
  return RUN_ALL_TESTS();
}

}  // namespace riverrun::transport
