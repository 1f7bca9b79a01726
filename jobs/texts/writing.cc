#include "jobs/texts/writing.h"

#include <algorithm>

#include "core/error.h"
#include "core/log.h"
#include "jobs/run/first_pass.h"

namespace riverrun::jobs {

namespace {

// Room for a text: tokens have 4 to 5 bytes on average; the longest has 128.
constexpr Index kBytesPerToken = 8, kBytesPerText = 128;
constexpr Index kLeastSection = plan::Options{}.chunk_tokens;

// The state after `ids`, read from the model's initial state.
model::State read_ids(const model::Model& model, const std::vector<TokenId>& ids, Stream stream) {
  constexpr Index kBlock = 256;
  model::State state = model.make_state();
  std::ranges::copy(model.initial_state().values(), state.values().begin());
  model::State* const states[] = {&state};
  const auto workspace = model.make_workspace(kBlock, stream);
  for (std::size_t at = 0; at < ids.size(); at += kBlock) {
    const auto block = std::span(ids).subspan(at, std::min<std::size_t>(kBlock, ids.size() - at));
    const kernels::Segment segment{0, std::ssize(block)};
    model.start(*workspace, block, {&segment, 1});
    model::run_layers(model, *workspace, states);
  }
  stream.synchronize();
  return state;
}

// Ids of the model that stand for no text: they would be written as nothing.
std::vector<TokenId> reserved_ids(const text::Tokenizer& tokenizer, Index vocab, std::span<const TokenId> stops) {
  std::vector<TokenId> reserved;
  const auto bytes = text::token_bytes(tokenizer, vocab);
  for (TokenId id = 0; id < vocab; ++id) {
    if (bytes[static_cast<std::size_t>(id)].empty() && std::ranges::find(stops, id) == stops.end()) reserved.push_back(id);
  }
  return reserved;
}

constexpr Index kMostTexts = 64;  // from there on a step is bound by arithmetic: more gain nothing

}  // namespace

Index texts_at_once(const model::StateShape& state) { return std::clamp<Index>(kMostStateBytes / state.bytes(), 1, kMostTexts); }

void add_texts(model::Use& use, const model::StateShape& state) {
  use.texts = texts_at_once(state);
  use.text_rows = use.texts + generate::kPromptRows;
}

TextRules::TextRules(const WritingOptions& options, const std::string& model_path, const std::string& tokenizer_path, Index vocab)
    : tokenizer_(open_tokenizer(model_path, tokenizer_path, vocab)), settings_(options.settings) {
  generate::check(settings_.sampling);
  prompts_ = find_template(options.template_name, model_path, tokenizer_->name());
  if (!options.prompt_file.empty()) prompts_ = read_prompt_file(options.prompt_file, prompts_);
  if (!options.stops.empty()) prompts_.stops = options.stops;
  for (const std::string& stop : prompts_.stops) RR_CHECK_INPUT(!stop.empty(), "--stop is empty");
  settings_.end.stop_texts = prompts_.stops;
  settings_.end.stop_tokens = {0};
  settings_.end.max_bytes = kBytesPerText + kBytesPerToken * settings_.end.max_tokens;
  settings_.banned = reserved_ids(*tokenizer_, vocab, settings_.end.stop_tokens);
}

generate::Decoder::TokenBytes TextRules::token_bytes() const {
  return [this](TokenId token) { return tokenizer_->decode({&token, 1}); };
}

Writing::Writing(const WritingOptions& options, const std::string& model_path, const std::string& tokenizer_path,
                 TokenId start_token, const model::Model& model, Stream stream)
    : TextRules(options, model_path, tokenizer_path, model.config().vocab), mode_(options.mode), section_tokens_(options.section_tokens), start_token_(start_token) {
  RR_CHECK_INPUT(start_token >= -1 && start_token < model.config().vocab, "--start-token ", start_token, " is outside the model's vocabulary of ", model.config().vocab);
  RR_CHECK_INPUT(section_tokens_ >= kLeastSection, "--section-tokens ", section_tokens_, " is less than a chunk of ", kLeastSection, " tokens");
  const Index most = settings().end.max_tokens;
  // Then n sections' texts are fewer than n sections at the next level, whatever n is.
  std::vector<TokenId> between;
  tokenizer().encode(kBetweenTexts, between);
  const Index two = 2 * most + std::ssize(between);
  RR_CHECK_INPUT(mode_ != WritingMode::hierarchical || section_tokens_ >= two, "--section-tokens ", section_tokens_, " is less than ", two,
                 ", two texts of --max-new-tokens ", most, " and what stands between them: with --mode hierarchical the summaries would not get shorter");
  RR_CHECK_INPUT(!prompts().after.empty(), "the prompt's part [after] is empty; the model must be asked for a text");
  RR_CHECK_INPUT(!prompts().section.empty(), "the prompt's part [section] is empty; the model must be asked for a text");

  std::vector<TokenId> before;
  if (start_token >= 0) before.push_back(start_token);
  tokenizer().encode(prompts().before, before);
  tokenizer().encode(prompts().reminder, reminder_);
  tokenizer().encode(prompts().section, section_);
  tokenizer().encode(prompts().after, after_);
  if (!before.empty()) start_ = read_ids(model, before, stream);
}

Index Writing::sequence_tokens(Index tokens) const {
  return tokens == 0 ? 0 : tokens + (count_sections(tokens) - 1) * std::ssize(reminder_);
}

Index Writing::count_section_texts(Index tokens) const {
  if (mode_ == WritingMode::final || (mode_ == WritingMode::hierarchical && tokens <= section_tokens_)) return 0;
  return count_sections(tokens);
}

bool Writing::is_summary(Index sequence_tokens, Index section) const {
  return mode_ == WritingMode::final || (mode_ == WritingMode::hierarchical && section == 0 && sequence_tokens <= section_tokens_);
}

void TextRules::record(std::vector<output::Attribute>& attributes) const {
  const generate::Sampling& sampling = settings_.sampling;
  std::string stops;
  for (const std::string& stop : prompts_.stops) stops += (stops.empty() ? "" : "\x1f") + stop;
  attributes.insert(attributes.end(), {{"template", prompts_.template_name},
                                       {"prompt_opening", prompts_.opening},
                                       {"stop_texts", stops},
                                       {"max_new_tokens", settings_.end.max_tokens},
                                       {"seed", static_cast<Index>(settings_.seed)},
                                       {"temperature", sampling.temperature},
                                       {"top_p", sampling.top_p},
                                       {"top_k", sampling.top_k},
                                       {"presence_penalty", sampling.presence},
                                       {"frequency_penalty", sampling.frequency},
                                       {"penalty_decay", sampling.decay}});
}

void Writing::record(std::vector<output::Attribute>& attributes) const {
  constexpr const char* kModes[] = {"final", "sections", "hierarchical"};
  TextRules::record(attributes);
  attributes.insert(attributes.end(), {{"mode", std::string(kModes[static_cast<int>(mode_)])},
                                       {"section_tokens", section_tokens_},
                                       {"prompt_before", prompts().before},
                                       {"prompt_reminder", prompts().reminder},
                                       {"prompt_section", prompts().section},
                                       {"prompt_after", prompts().after}});
}

std::string TextRules::clean(const std::string& text) const {
  constexpr const char* kSpace = " \t\r\n";
  std::string_view shown = text;
  if (shown.starts_with(prompts_.opening)) shown.remove_prefix(prompts_.opening.size());
  const std::size_t first = shown.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return "";
  return std::string(shown.substr(first, shown.find_last_not_of(kSpace) - first + 1));
}

}  // namespace riverrun::jobs
