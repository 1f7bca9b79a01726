#include <cstdlib>

#include "core/error.h"
#include "transport/ranks.h"

namespace riverrun::transport {

namespace {

#if RIVERRUN_WITH_MPI
constexpr bool kHaveMpi = true;
constexpr auto kRunMpi = run_mpi;
#else
constexpr bool kHaveMpi = false;
constexpr std::nullptr_t kRunMpi = nullptr;
#endif

#if RIVERRUN_WITH_NCCL
constexpr bool kHaveNccl = true;
constexpr auto kRunNccl = run_nccl;
#else
constexpr bool kHaveNccl = false;
constexpr std::nullptr_t kRunNccl = nullptr;
#endif

using Run = int (*)(const Options&, const Body&);
constexpr Run kRuns[] = {run_self, run_threads, kRunMpi, kRunNccl};  // in the order of kEntries
constexpr Entry kEntries[] = {
    {"self", true, ""},
    {"threads", true, ""},
    {"mpi", kHaveMpi, "install an MPI library, such as libopenmpi-dev, and configure again"},
    {"nccl", kHaveNccl,
     "install CUDA, NCCL and an MPI library, such as libnccl-dev and libopenmpi-dev, and configure again; \"mpi\" connects ranks with "
     "GPUs, too"},
};
static_assert(std::size(kRuns) == std::size(kEntries));

std::string names(bool only_built) {
  std::string list;
  for (const Entry& entry : kEntries)
    if (entry.built || !only_built) list += concat(list.empty() ? "" : ", ", entry.name);
  return list;
}

bool is_set(const char* variable) { return std::getenv(variable) != nullptr; }

}  // namespace

std::span<const Entry> known_transports() { return kEntries; }

int run_ranks(const std::string& name, const Options& options, const Body& body) {
  for (std::size_t i = 0; i < std::size(kEntries); ++i) {
    if (name != kEntries[i].name) continue;
    RR_CHECK_INPUT(kEntries[i].built, "transport \"", name, "\" is not in this build (", kEntries[i].how_to_build,
                   "); built: ", names(true));
    return kRuns[i](options, body);
  }
  throw InputError(concat("transport \"", name, "\" is unknown; known: ", names(false)));
}

bool started_under_mpi() {
  const bool slurm_with_pmi = is_set("PMI_RANK") && is_set("SLURM_JOB_ID");
  return is_set("OMPI_COMM_WORLD_SIZE") || is_set("PMIX_RANK") || slurm_with_pmi;
}

}  // namespace riverrun::transport
