// riverrun summarize: documents to texts.

#include "core/error.h"
#include "jobs/commands.h"
#include "jobs/run/corpus_job.h"
#include "jobs/texts/text_options.h"

namespace riverrun::jobs {

namespace {

namespace po = boost::program_options;

constexpr Index kMostPassages = 256;          // of a document: the time to choose grows with their number
constexpr Index kUsualWindow = 128, kMostWindow = Index{1} << 16;

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
      ("section-tokens", po::value(&w.section_tokens)->default_value(w.section_tokens)->value_name("S"), "tokens of a section, at least 16; with --mode hierarchical at least two texts of --max-new-tokens and what stands between them");
  return what.add(describe_texts(w, seed));
}

po::options_description describe_extractive(Index& passages, Index& window) {
  po::options_description what("Summaries without a chat model", 100);
  what.add_options()
      ("extractive", po::value(&passages)->default_value(passages)->value_name("K"),
       "write nothing, but find the K passages that cover a document best; 0: write")
      ("window", po::value(&window)->default_value(window)->value_name("W"), "tokens of a passage; 0: 128");
  return what;
}

// The windows are those of `embed --window`, so the model needs no head, and what is said about texts would be said in vain.
void settle_extractive(CorpusJob& job, Index passages, Index window) {
  const WritingOptions& texts = *job.writing, usual;
  RR_CHECK_INPUT(texts.mode == WritingMode::final && texts.template_name == usual.template_name && texts.prompt_file.empty() && texts.stops.empty() &&
                     texts.section_tokens == usual.section_tokens && texts.settings.sampling == usual.settings.sampling &&
                     texts.settings.seed == usual.settings.seed && texts.settings.end.max_tokens == usual.settings.end.max_tokens,
                 "--extractive writes no texts of its own: it does not go with --mode sections or hierarchical, --section-tokens, prompts, --stop, "
                 "--max-new-tokens, --seed or sampling");
  job.writing.reset();
  job.auto_start_token = -1;
  job.passages = passages;
  job.request.embedding = true;
  job.request.window = window;
  job.attributes = {{"extractive", passages}, {"window", window}, {"pool", std::string("mean")}, {"normalize", Index{0}}};
}

}  // namespace

int run_summarize(int argc, const char* const* argv) {
  CorpusJob job;
  job.name = "summarize";
  job.auto_start_token = 0;  // as before a document of the training data
  WritingOptions& writing = job.writing.emplace();
  std::string mode = "final";
  Index seed = 0, extractive = 0, window = 0;
  bool save_states = false;
  po::options_description own = describe_writing(writing, mode, seed);
  own.add_options()("also-text", po::value(&job.also_text)->value_name("DIR"), "also write the texts of each document to a plain file there");
  own.add_options()("save-states", po::bool_switch(&save_states), "also keep the model's state after each document");
  own.add(describe_extractive(extractive, window)).add(describe(job.options));
  if (!parse(argc, argv, "riverrun summarize\ntexts about documents of any length", own)) return 0;

  writing.mode = parse_mode(mode);
  settle_texts(writing, seed);
  check_range("--section-tokens", writing.section_tokens, 1, Index{1} << 40);
  check_range("--extractive", extractive, 0, kMostPassages);
  check_range("--window", window, 0, kMostWindow);
  RR_CHECK_INPUT(window == 0 || extractive > 0, "--window is the length of the passages of --extractive; for texts there is --section-tokens");
  if (extractive > 0) settle_extractive(job, extractive, window > 0 ? window : kUsualWindow);
  job.request.states = save_states;
  return run_corpus_job(job, argc, argv);
}

}  // namespace riverrun::jobs
