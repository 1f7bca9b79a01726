// riverrun summarize: documents to texts.

#include "core/error.h"
#include "jobs/commands.h"
#include "jobs/run/corpus_job.h"
#include "jobs/texts/text_options.h"

namespace riverrun::jobs {

namespace {

namespace po = boost::program_options;

WritingMode parse_mode(const std::string& name) {
  if (name == "final") return WritingMode::final;
  if (name == "sections") return WritingMode::sections;
  if (name == "hierarchical") return WritingMode::hierarchical;
  throw InputError("--mode '" + name + "' is none of final, sections, hierarchical");
}

po::options_description describe_writing(WritingOptions& w, std::string& mode, Index& seed) {
  po::options_description what("Summaries", 100);
  what.add_options()
      ("mode", po::value(&mode)->default_value(mode)->value_name("HOW"),
       "final: one text per document; sections: one per section, each with all before it in mind; hierarchical: the sections' "
       "texts are read as a document, again until they fit one section, and then summarised")
      ("section-tokens", po::value(&w.section_tokens)->default_value(w.section_tokens)->value_name("S"), "tokens of a section");
  return what.add(describe_texts(w, seed));
}

}  // namespace

int run_summarize(int argc, const char* const* argv) {
  CorpusJob job;
  job.name = "summarize";
  job.auto_start_token = 0;  // as before a document of the training data
  WritingOptions& writing = job.writing.emplace();
  std::string mode = "final";
  Index seed = 0;
  bool save_states = false;
  po::options_description own = describe_writing(writing, mode, seed);
  own.add_options()("also-text", po::value(&writing.also_text)->value_name("DIR"), "also write the texts of each document to a plain file there");
  own.add_options()("save-states", po::bool_switch(&save_states), "also keep the model's state after each document");
  own.add(describe(job.options));
  if (!parse(argc, argv, "riverrun summarize\ntexts about documents of any length", own)) return 0;

  writing.mode = parse_mode(mode);
  settle_texts(writing, seed);
  check_range("--section-tokens", writing.section_tokens, 1, Index{1} << 40);
  job.request.states = save_states;
  return run_corpus_job(job, argc, argv);
}

}  // namespace riverrun::jobs
