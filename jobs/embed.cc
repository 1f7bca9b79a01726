// riverrun embed: documents to vectors.

#include "core/error.h"
#include "core/log.h"
#include "jobs/commands.h"
#include "jobs/run/corpus_job.h"
#include "jobs/run/embedding_model.h"

namespace riverrun::jobs {

namespace {

// --pool auto and --end-token auto: as the model was trained to be read.
void settle_pooling(CorpusJob& job, const std::string& pool, const model::Config& config) {
  const bool trained = is_embedding_model(config);
  const bool last = pool == "last" || (pool == "auto" && trained);
  job.request.pool = last ? ring::Pool::last : ring::Pool::mean;
  job.attributes.push_back({"pool", std::string(last ? "last" : "mean")});
  if (!trained) return;
  job.auto_end_token = kEmbeddingEndToken;
  log_info("an RWKV-7 without a head is taken for an EmbeddingRWKV model: unless told otherwise, --end-token ", kEmbeddingEndToken,
           " (after text) and --pool last");
}

}  // namespace

int run_embed(int argc, const char* const* argv) {
  namespace po = boost::program_options;
  CorpusJob job;
  job.name = "embed";
  std::string pool = "auto", dtype = "float32";
  Index window = 0;
  bool normalize = false, save_states = false;
  po::options_description own("Embedding", 100);
  own.add_options()
      ("pool", po::value(&pool)->default_value(pool)->value_name("HOW"),
       "mean of the final hidden states of all tokens, or last: that of the last one; auto: mean, but last for an "
       "RWKV-7 without a head and with 65,536 rows")
      ("window", po::value(&window)->default_value(window)->value_name("W"),
       "also one vector per W tokens, each with the whole document before it in mind; 0: none")
      ("normalize", po::bool_switch(&normalize), "scale every vector to length 1")
      ("dtype", po::value(&dtype)->default_value(dtype)->value_name("TYPE"), "of stored vectors: float32 or float16")
      ("save-states", po::bool_switch(&save_states), "also keep the model's state after each document");
  own.add(describe(job.options));
  if (!parse(argc, argv, "riverrun embed\none vector per document, and per passage with --window", own)) return 0;

  check_range("--window", window, 0, Index{1} << 40);
  RR_CHECK_INPUT(pool == "auto" || pool == "mean" || pool == "last", "--pool '", pool, "' is none of auto, mean, last");
  RR_CHECK_INPUT(dtype == "float32" || dtype == "float16", "--dtype '", dtype, "' is none of float32, float16");
  job.request.embedding = true;
  job.request.window = window;
  job.request.normalize = normalize;
  job.request.states = save_states;
  job.embedding_f16 = dtype == "float16";
  job.attributes = {{"window", window}, {"normalize", Index{normalize}}};
  job.settle = [pool](CorpusJob& settled, const model::Config& config) { settle_pooling(settled, pool, config); };
  return run_corpus_job(job, argc, argv);
}

}  // namespace riverrun::jobs
