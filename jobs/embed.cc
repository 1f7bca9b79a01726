// riverrun embed: documents to vectors.

#include "core/error.h"
#include "core/log.h"
#include "jobs/commands.h"
#include "jobs/corpus_job.h"

namespace riverrun::jobs {

int run_embed(int argc, const char* const* argv) {
  namespace po = boost::program_options;
  CorpusJob job;
  job.name = "embed";
  std::string pool = "mean", dtype = "float32";
  Index window = 0;
  bool normalize = false, save_states = false;
  po::options_description own("Embedding", 100);
  own.add_options()
      ("pool", po::value(&pool)->default_value(pool)->value_name("HOW"),
       "mean of the final hidden states of all tokens, or that of the last one")
      ("window", po::value(&window)->default_value(window)->value_name("W"),
       "also one vector per W tokens, each with the whole document before it in mind; 0: none")
      ("normalize", po::bool_switch(&normalize), "scale every vector to length 1")
      ("dtype", po::value(&dtype)->default_value(dtype)->value_name("TYPE"), "of stored vectors: float32 or float16")
      ("save-states", po::bool_switch(&save_states), "also keep the model's state after each document");
  own.add(describe(job.options));
  if (!parse(argc, argv, "riverrun embed\none vector per document, and per passage with --window", own)) return 0;

  check_range("--window", window, 0, Index{1} << 40);
  RR_CHECK_INPUT(pool == "mean" || pool == "last", "--pool '", pool, "' is none of mean, last");
  RR_CHECK_INPUT(dtype == "float32" || dtype == "float16", "--dtype '", dtype, "' is none of float32, float16");
  job.request.embedding = true;
  job.request.window = window;
  job.request.pool = pool == "mean" ? ring::Pool::mean : ring::Pool::last;
  job.request.normalize = normalize;
  job.request.states = save_states;
  job.embedding_f16 = dtype == "float16";
  job.attributes = {{"pool", pool}, {"window", window}, {"normalize", Index{normalize}}};
  return run_corpus_job(job, argc, argv);
}

}  // namespace riverrun::jobs
