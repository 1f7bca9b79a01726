// RunRecord: what the output says about the run that made it.
#pragma once

#include <future>
#include <string>
#include <vector>

#include "jobs/corpus_job.h"
#include "model/model.h"

namespace riverrun::jobs {

class RunRecord {
 public:
  // Starts the checksum of the model file in the background, in the process that will be rank 0.
  RunRecord(const std::string& model_path, int argc, const char* const* argv);

  // Root attributes: version, command, model and its sizes, precision, and the job's own. Waits for the checksum. Rank 0
  // only.
  std::vector<output::Attribute> attributes(const CorpusJob& job, const model::Model& model) const;

 private:
  std::string command_ = "riverrun";
  std::shared_future<std::string> model_sha256_;
};

}  // namespace riverrun::jobs
