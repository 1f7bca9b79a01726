// The cases of all transports over MPI. With the argument "strict" sends wait for their receives and messages travel
// in small pieces.
#include <gtest/gtest.h>

#include <cstring>

#include "tests/transport/process_cases.h"

int main(int argc, char** argv) {
  using namespace riverrun::transport;
  testing::InitGoogleTest(&argc, argv);
  testing::GTEST_FLAG(throw_on_failure) = false;
  const bool strict = argc > 1 && std::strcmp(argv[1], "strict") == 0;
  Options options;
  if (strict) options.synchronous_sends = true, options.piece_bytes = 1000;
  return run_ranks("mpi", options, [&](Transport& transport) { return run_all_tests(transport, !strict); });
}
