// riverrun score: the natural-log probability of every token given all before it.

#include "jobs/commands.h"
#include "jobs/run/corpus_job.h"

namespace riverrun::jobs {

int run_score(int argc, const char* const* argv) {
  CorpusJob job;
  job.name = "score";
  // Documents of the training data follow a token 0, so the first token of a fresh text has one before it.
  job.auto_start_token = 0;
  bool save_states = false;
  namespace po = boost::program_options;
  po::options_description own("Scoring", 100);
  own.add_options()("save-states", po::bool_switch(&save_states), "also keep the model's state after each document");
  own.add(describe(job.options));
  if (!parse(argc, argv, "riverrun score\nthe log-probability of every token", own)) return 0;
  job.request.scores = true;
  job.request.states = save_states;
  return run_corpus_job(job, argc, argv);
}

}  // namespace riverrun::jobs
