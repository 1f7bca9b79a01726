// riverrun summarize: documents to texts.

#include <limits>

#include "core/error.h"
#include "jobs/commands.h"
#include "jobs/corpus_job.h"

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
  generate::Sampling& s = w.settings.sampling;
  po::options_description what("Summaries", 100);
  what.add_options()
      ("mode", po::value(&mode)->default_value(mode)->value_name("HOW"),
       "final: one text per document; sections: one per section, each with all before it in mind; hierarchical: the sections' "
       "texts are read as a document, again until they fit one section, and then summarised")
      ("section-tokens", po::value(&w.section_tokens)->default_value(w.section_tokens)->value_name("S"), "tokens of a section")
      ("template", po::value(&w.template_name)->default_value(w.template_name)->value_name("NAME"),
       "what is said to the model around a document: world, g1, raven or plain; auto: by the model's name")
      ("prompt-file", po::value(&w.prompt_file)->value_name("FILE"),
       "parts [before], [reminder], [section], [after] in place of the template's (docs/summarising.md)")
      ("max-new-tokens", po::value(&w.settings.end.max_tokens)->default_value(w.settings.end.max_tokens)->value_name("N"), "of one text")
      ("stop", po::value(&w.stops)->composing()->value_name("TEXT"), "ends a text where it comes; may be given several times; in place of the template's");
  po::options_description how("Sampling (greedy unless told otherwise)", 100);
  how.add_options()
      ("temperature", po::value(&s.temperature)->default_value(s.temperature)->value_name("T"), "0: greedy")
      ("top-p", po::value(&s.top_p)->default_value(s.top_p)->value_name("P"), "only the likeliest tokens that hold this share")
      ("top-k", po::value(&s.top_k)->default_value(s.top_k)->value_name("K"), "only the K likeliest tokens; 0: all")
      ("presence-penalty", po::value(&s.presence)->default_value(s.presence)->value_name("X"), "taken from the logit of a token that came before")
      ("frequency-penalty", po::value(&s.frequency)->default_value(s.frequency)->value_name("X"), "the same, for each time it came")
      ("penalty-decay", po::value(&s.decay)->default_value(s.decay)->value_name("X"), "what is left of a count after each token")
      ("seed", po::value(&seed)->default_value(seed)->value_name("N"), "of the random numbers");
  return what.add(how);
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
  writing.stops_given = !writing.stops.empty();
  writing.settings.seed = static_cast<std::uint64_t>(seed);
  check_range("--max-new-tokens", writing.settings.end.max_tokens, 1, Index{1} << 20);
  check_range("--section-tokens", writing.section_tokens, 1, Index{1} << 40);
  check_range("--seed", seed, 0, std::numeric_limits<Index>::max());
  job.request.states = save_states;
  return run_corpus_job(job, argc, argv);
}

}  // namespace riverrun::jobs
