#include "jobs/run/run_record.h"

#include <filesystem>

#include "checkpoint/checkpoint.h"
#include "core/error.h"
#include "core/utc.h"
#include "jobs/run/machine.h"
#include "jobs/run/sha256.h"

namespace riverrun::jobs {

std::string command_line(int argc, const char* const* argv) {
  std::string line = "riverrun";
  for (int i = 0; i < argc; ++i) line += concat(" ", argv[i]);
  return line;
}

RunRecord::RunRecord(const CorpusJobOptions& options, int argc, const char* const* argv) {
  command_ = command_line(argc, argv);
  if (launched_rank() != 0) return;
  const auto sha256_of = [](const std::string& weights) {
    return std::async(std::launch::async, [weights] { return sha256_of_files(checkpoint::open_checkpoint(weights)->file_paths()); }).share();
  };
  model_sha256_ = sha256_of(options.model);
  if (!options.initial_state.empty()) initial_state_sha256_ = sha256_of(options.initial_state);
}

std::vector<output::Attribute> RunRecord::attributes(const CorpusJob& job, const model::Model& model) const {
  const model::Config& config = model.config();
  std::vector<output::Attribute> attributes = {
      {"riverrun_version", std::string(RIVERRUN_VERSION)},
      {"command", command_},
      {"model_path", std::filesystem::absolute(job.options.model).string()},
      {"model_sha256", model_sha256_.get()},
      {"generation", config.generation},
      {"layers", config.layers},
      {"channels", config.channels},
      {"head_size", config.head_size},
      {"vocab", config.vocab},
      {"precision", std::string(name_of(model.precision()))},
      {"weights", std::string(name_of(model.weights()))},
      {"backend", std::string(kernels::find_backend(job.options.backend).backend)},  // another rounds otherwise
      {"created", utc_now()},
  };
  if (initial_state_sha256_.valid()) attributes.push_back({"initial_state_sha256", initial_state_sha256_.get()});
  attributes.insert(attributes.end(), job.attributes.begin(), job.attributes.end());
  return attributes;
}

}  // namespace riverrun::jobs
