// CorpusJob: what every job over a corpus does around the ring.
//
//   first pass (rank 0): read, tokenise, count  ->  plan, the same on every rank  ->  output file with every shape known
//   ->  ring; rank 0 writes results as they come  ->  report
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "jobs/options.h"
#include "jobs/texts/writing.h"
#include "model/config.h"
#include "output/schema.h"
#include "ring/result.h"

namespace riverrun::jobs {

struct CorpusJob {
  std::string name;  // "embed", "score"
  CorpusJobOptions options;
  ring::Request request;                        // start_tokens is filled in
  std::optional<WritingOptions> writing;        // for a job that writes texts; the start token then stands before its prompt
  Index passages = 0;                           // that stand for each document, chosen among its windows; 0: none
  std::string also_text;                        // a directory for texts as plain files, or empty
  TokenId auto_start_token = -1, auto_end_token = -1;  // what `auto` means for text; -1: none
  // Decides, once the model is known, what the options leave open; may be empty.
  std::function<void(CorpusJob& job, const model::Config& config)> settle;
  bool embedding_f16 = false;
  std::vector<output::Attribute> attributes;    // the job's own options, recorded in the output
};

// Runs it on all ranks and returns the exit code of this process.
int run_corpus_job(CorpusJob job, int argc, const char* const* argv);

}  // namespace riverrun::jobs
