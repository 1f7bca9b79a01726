// RunRecord: what the output says about the run that made it.
#pragma once

#include <chrono>
#include <future>
#include <string>
#include <vector>

#include "jobs/run/corpus_job.h"
#include "model/model.h"

namespace riverrun::jobs {

// As the user typed it, but for quotes; argv[0] is the command's name.
std::string command_line(int argc, const char* const* argv);

class RunRecord {
 public:
  // Starts the checksums of the model's files in the background, in the process that will be rank 0.
  RunRecord(const CorpusJobOptions& options, int argc, const char* const* argv);

  // Root attributes: version, command, model and its sizes, precision, and the job's own. Waits for the checksums. Rank 0
  // only.
  std::vector<output::Attribute> attributes(const CorpusJob& job, const model::Model& model) const;

  // Rank 0: whether the checksums are there, and that of the model, which is waited for.
  bool ready() const { return model_sha256_.wait_for(std::chrono::seconds(0)) == std::future_status::ready; }
  std::string model_sha256() const { return model_sha256_.get(); }

 private:
  std::string command_;
  std::shared_future<std::string> model_sha256_, initial_state_sha256_;  // the second: only where there is such a file
};

}  // namespace riverrun::jobs
