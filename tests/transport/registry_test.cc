// Names of transports, the rank alone, and how a start under mpirun is recognised.
#include <gtest/gtest.h>

#include <cstdlib>

#include "core/error.h"
#include "transport/transport.h"

namespace riverrun::transport {
namespace {

std::string refusal(const std::string& name, const Options& options = {}) {
  try {
    run_ranks(name, options, [](Transport&) { return 0; });
  } catch (const InputError& error) {
    return error.what();
  }
  return "none";
}

TEST(Registry, KnowsItsNames) {
  std::string names;
  for (const Entry& entry : known_transports()) {
    names += std::string(entry.name) + " ";
    EXPECT_TRUE(entry.built || std::string(entry.how_to_build) != "") << entry.name;
  }
  EXPECT_EQ(names, "self threads mpi nccl ");
}

TEST(Registry, RefusesWhatItCannotRun) {
  EXPECT_NE(refusal("pigeons").find("transport \"pigeons\" is unknown; known: self, threads, mpi, nccl"),
            std::string::npos) << refusal("pigeons");
  const bool with_nccl = known_transports().back().built;
  EXPECT_NE(refusal("nccl").find(with_nccl ? "say --backend cuda, or --transport mpi" : "transport \"nccl\" is not in this build ("),
            std::string::npos) << refusal("nccl");
  if (!with_nccl) {
    EXPECT_NE(refusal("nccl").find("built: self, threads"), std::string::npos);
  }
  EXPECT_NE(refusal("threads", {.ranks = 0}), "none");
  EXPECT_NE(refusal("self", {.ranks = 2}), "none");
}

TEST(Self, ExceptionsAndExitCodesComeThrough) {
  EXPECT_EQ(run_ranks("self", {}, [](Transport&) { return 3; }), 3);
  EXPECT_THROW(run_ranks("self", {}, [](Transport&) -> int { throw InputError("x"); }), InputError);
  EXPECT_THROW(run_ranks("self", {}, [](Transport& transport) {
    transport.post_result(std::vector<std::byte>(1));
    return 0;
  }), Error) << "a result was lost";
}

TEST(Self, AbortIsThrownByTheNextCall) {
  const auto body = [](Transport& transport) {
    transport.abort("disk full", 1);
    EXPECT_THROW(transport.progress(), Error);
    return 0;
  };
  try {
    run_ranks("self", {}, body);
    ADD_FAILURE() << "an abort ended as a success";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "rank 0 failed: disk full");
  }
}

class Environment {
 public:
  explicit Environment(const char* name) : name_(name) {
    if (const char* value = std::getenv(name)) value_ = value, was_set_ = true;
    unsetenv(name);
  }
  ~Environment() {
    if (was_set_) setenv(name_, value_.c_str(), 1);
    else unsetenv(name_);
  }

 private:
  const char* name_;
  std::string value_;
  bool was_set_ = false;
};

TEST(StartedUnderMpi, LooksAtWhatLaunchersSet) {
  const Environment open_mpi("OMPI_COMM_WORLD_SIZE"), pmix("PMIX_RANK"), pmi("PMI_RANK"), slurm("SLURM_JOB_ID");
  EXPECT_FALSE(started_under_mpi());
  setenv("SLURM_JOB_ID", "7", 1);
  EXPECT_FALSE(started_under_mpi()) << "a batch script is no rank";
  setenv("PMI_RANK", "0", 1);
  EXPECT_TRUE(started_under_mpi());
  unsetenv("PMI_RANK");
  setenv("PMIX_RANK", "1", 1);
  EXPECT_TRUE(started_under_mpi());
  unsetenv("PMIX_RANK");
  setenv("OMPI_COMM_WORLD_SIZE", "2", 1);
  EXPECT_TRUE(started_under_mpi());
}

}  // namespace
}  // namespace riverrun::transport
