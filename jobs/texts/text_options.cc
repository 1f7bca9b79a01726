#include "jobs/texts/text_options.h"

#include <limits>

#include "jobs/options.h"

namespace riverrun::jobs {

boost::program_options::options_description describe_texts(WritingOptions& w, Index& seed) {
  namespace po = boost::program_options;
  generate::Sampling& s = w.settings.sampling;
  po::options_description what("Texts", 100);
  what.add_options()
      ("template", po::value(&w.template_name)->default_value(w.template_name)->value_name("NAME"),
       "what is said to the model around a document: world, g1, raven or plain; auto: by the model's name")
      ("prompt-file", po::value(&w.prompt_file)->value_name("FILE"),
       "parts [before], [reminder], [section], [after], [question] in place of the template's (docs/summarising.md)")
      ("max-new-tokens", po::value(&w.settings.end.max_tokens)->default_value(w.settings.end.max_tokens)->value_name("N"), "of one text")
      ("stop", po::value(&w.stops)->value_name("TEXT"), "ends a text where it comes; may be given several times; in place of the template's");
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

void settle_texts(WritingOptions& w, Index seed) {
  check_range("--max-new-tokens", w.settings.end.max_tokens, 1, Index{1} << 20);
  check_range("--seed", seed, 0, std::numeric_limits<Index>::max());
  w.settings.seed = static_cast<std::uint64_t>(seed);
}

}  // namespace riverrun::jobs
