#include "jobs/run/machine.h"

#include <sched.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "core/error.h"
#include "core/log.h"
#include "core/trace.h"
#include "ring/carry.h"
#include "ring/readout.h"

namespace riverrun::jobs {

namespace {

Index environment_number(const char* name) {
  const char* const text = std::getenv(name);
  return text ? std::atoll(text) : 0;
}

// Ranks on this node under mpirun or srun; 1 elsewhere.
Index ranks_on_node() {
  for (const char* name : {"OMPI_COMM_WORLD_LOCAL_SIZE", "SLURM_NTASKS_PER_NODE"}) {
    if (const Index ranks = environment_number(name); ranks > 0) return ranks;
  }
  return 1;
}

Index usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
  return std::max(1u, std::thread::hardware_concurrency());
}

// Processes that mpirun or srun started for this job; 1 elsewhere.
Index launched_processes() {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"}) {
    if (const Index processes = environment_number(name); processes > 0) return processes;
  }
  return 1;
}

// A rank may be bound to cores of its own, or share them: to a socket, with the other ranks there. Either way it takes no
// more than its share of the node.
Index cores_per_rank(Index ranks_here) {
  const Index node = std::max<Index>(1, std::thread::hardware_concurrency());
  return std::max<Index>(1, std::min(usable_cores(), node / ranks_here));
}

constexpr Index kMostVerified = 1024;  // a rank keeps a carry in memory for each

}  // namespace

Machine prepare_machine(const CorpusJobOptions& options) {
  set_log_level(parse_log_level(options.log_level));
  check_range("--ranks", options.ranks, 1, 1024);
  check_range("--threads", options.threads, 0, 4096);
  check_range("--block-tokens", options.block_tokens, 0, Index{1} << 24);
  constexpr Index kChunk = plan::Options{}.chunk_tokens;
  RR_CHECK_INPUT(options.block_tokens % kChunk == 0, "--block-tokens ", options.block_tokens, " is not a multiple of ",
                 kChunk);
  RR_CHECK_INPUT(options.timeout_seconds > 0 && options.timeout_seconds < 1e7, "--timeout ", options.timeout_seconds, " is not between 0 and 1e7 seconds");
  check_range("--verify", options.verify, 0, kMostVerified);
  RR_CHECK_INPUT(options.checkpoint_seconds >= 0 && options.checkpoint_seconds < 1e7, "--checkpoint-seconds ", options.checkpoint_seconds, " is not between 0 and 1e7 seconds");
  RR_CHECK_INPUT(!(options.resume && options.overwrite), "--resume and --overwrite exclude each other");
  Machine machine;
  machine.progress = choose_progress(options.progress);
  machine.timeout = std::chrono::duration_cast<transport::Clock::duration>(std::chrono::duration<double>(options.timeout_seconds));
  machine.transport = options.transport;
  if (machine.transport == "auto") machine.transport = transport::started_under_mpi() ? "mpi" : options.ranks > 1 ? "threads" : "self";
  RR_CHECK_INPUT(options.ranks == 1 || machine.transport == "threads", "--ranks ", options.ranks,
                 " is for --transport threads; with ", machine.transport, " the launcher says how many ranks there are");
  RR_CHECK_INPUT(runs_processes(machine.transport) || launched_processes() == 1, "--transport ",
                 machine.transport, " is for one process, but ", launched_processes(),
                 " were started, which would all do the same work; leave it out, or start one process");
  const Index here = machine.transport == "threads" ? options.ranks : machine.transport == "self" ? 1 : ranks_on_node();
  RR_CHECK_INPUT(!options.synchronous_sends || machine.transport == "mpi", "--synchronous-sends is for --transport mpi, not ",
                 machine.transport);
  machine.threads = static_cast<int>(options.threads > 0 ? options.threads : cores_per_rank(here));
  return machine;
}

void check_one_process(const std::string& command) {
  RR_CHECK_INPUT(launched_processes() == 1, "riverrun ", command, " runs in one process, but ", launched_processes(),
                 " were started, which would all write the same file; start it without mpirun or srun");
}

namespace {

namespace fs = std::filesystem;

bool lies_in(const fs::path& folder, const std::string& directory) {
  const fs::path outer = fs::canonical(directory), inner = fs::weakly_canonical(folder);
  return std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end()).first == outer.end();
}

// A file that is there is written over only when it is one that --trace has made.
void check_trace(const CorpusJobOptions& options) {
  const fs::path trace = fs::weakly_canonical(options.trace);
  RR_CHECK_INPUT(options.output.empty() || trace != fs::weakly_canonical(options.output), "--trace ", options.trace, " is the --output; name another file");
  if (!fs::is_regular_file(trace) || fs::file_size(trace) == 0) return;
  std::string begin(std::string_view(kTraceBegin).size(), ' ');
  std::ifstream(trace, std::ios::binary).read(begin.data(), std::ssize(begin));
  RR_CHECK_INPUT(begin == kTraceBegin, "--trace ", options.trace, " exists and is no trace; remove it or name another file");
}

}  // namespace

void check_paths(const CorpusJobOptions& options, bool resumes, const std::string& also_text) {
  const auto same = [](const fs::path& a, const fs::path& b) {
    return fs::exists(a) && fs::exists(b) && fs::equivalent(a, b);
  };
  const auto check_written = [&](const char* option, const std::string& name) {
    const fs::path path(name), parent = path.parent_path();
    const fs::path folder = parent.empty() ? fs::path(".") : parent;
    RR_CHECK_INPUT(fs::is_directory(folder), option, " ", name, ": the directory ", folder.string(), " does not exist");
    RR_CHECK_INPUT(!fs::is_directory(path), option, " ", name, " is a directory; name a file in it");
    for (const std::string& read : {options.model, options.input, options.tokenizer, options.initial_state}) {
      RR_CHECK_INPUT(!same(path, read), option, " ", name, " is a file that this job reads; name another");
    }
    RR_CHECK_INPUT(!fs::is_directory(options.input) || !lies_in(folder, options.input), option, " ", name,
                   " lies in the directory of the documents, ", options.input, ", and would be read as one of them next time; name another place");
  };
  check_written("--output", options.output);
  if (!options.trace.empty()) check_written("--trace", options.trace), check_trace(options);
  RR_CHECK_INPUT(also_text.empty() || !fs::is_directory(options.input) || !lies_in(also_text, options.input), "--also-text ", also_text,
                 " lies in the directory of the documents, ", options.input, ", and its files would be read as documents; name another place");
  RR_CHECK_INPUT(!fs::exists(options.output) || options.resume || options.overwrite, options.output, " exists; say ",
                 resumes ? "--resume to go on with it or " : "", "--overwrite to replace it");
}

Index choose_block_tokens(Index asked, Index longest_document, DeviceKind device) {
  if (asked > 0) return asked;
  // Large enough for the matrix products to run at full speed, and on a GPU for their launches to be short beside them; smaller for a
  // document that would otherwise give the ranks too few blocks to share. A GPU's are whole groups of its WKV-6 (docs/wkv.md).
  const bool gpu = device != DeviceKind::cpu;
  const Index most = gpu ? 4096 : 512, least = gpu ? 1024 : 128, step = gpu ? 256 : 64;
  return longest_document > most && longest_document < 16 * most ? std::clamp(longest_document / 16 / step * step, least, most) : most;
}

namespace {
constexpr Index kStateBytesPerBlock = Index{256} << 20;
}

plan::Options plan_options(int ranks, Index block_tokens, const model::Model& model, bool keeps_states) {
  plan::Options options;
  options.ranks = ranks;
  options.block_tokens = block_tokens;
  options.cost.layers = model.config().layers;
  if (keeps_states) options.max_slices_per_block = std::clamp<Index>(kStateBytesPerBlock / model.state_shape().bytes(), 1, 64);
  return options;
}

Index carries_for(const plan::Plan& plan, const model::Model& model, const ring::Request& request) {
  const ring::CarryLayout layout(model.state_shape(), ring::Readout::carried_sums(request, model.config().channels), model.device().kind());
  for (Index carries = ring::kCarriesInFlight;; carries *= 2) {
    const std::string cycle = plan::find_deadlock(plan, layout.messages(), carries);
    if (cycle.empty()) return carries;
    RR_CHECK(carries <= plan.edges, "this plan would deadlock: ", cycle);
  }
}

int launched_rank() {
  for (const char* name : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK"}) {
    if (std::getenv(name)) return static_cast<int>(environment_number(name));
  }
  return 0;
}

bool runs_processes(const std::string& transport) { return transport == "mpi" || transport == "nccl"; }

const kernels::KernelTable& open_backend(const std::string& name, const std::string& transport) {
  // CUDA by default loads a kernel when it is first launched, and may wait for those that run. One of NCCL's may run until another
  // rank is past such a wait of its own.
  if (transport == "nccl") RR_CHECK(setenv("CUDA_MODULE_LOADING", "EAGER", 0) == 0, with_errno("setenv"));
  const kernels::KernelTable& kernels = kernels::find_backend(name);
  Index rank_on_node = 0;
  for (const char* variable : {"OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID"}) {
    if (std::getenv(variable)) {
      rank_on_node = environment_number(variable);
      break;
    }
  }
  kernels.device->require(static_cast<int>(rank_on_node));
  return kernels;
}

}  // namespace riverrun::jobs
