// Writing: what a job that writes texts needs on every rank, made once per process before the ranks start.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "generate/decoder.h"
#include "jobs/texts/prompts.h"
#include "output/schema.h"
#include "plan/plan.h"
#include "text/tokenizer.h"

namespace riverrun::jobs {

enum class WritingMode { final, sections, hierarchical };

struct WritingOptions {
  WritingMode mode = WritingMode::final;
  Index section_tokens = 8192;
  std::string template_name = "auto", prompt_file;
  std::vector<std::string> stops;  // in place of the template's
  generate::Settings settings;
};

// What all texts of a job follow: tokenizer, prompts, sampling, ends.
class TextRules {
 public:
  // InputError for prompts or options that are wrong.
  TextRules(const WritingOptions& options, const std::string& model_path, const std::string& tokenizer_path, Index vocab);

  const Prompts& prompts() const { return prompts_; }
  const text::Tokenizer& tokenizer() const { return *tokenizer_; }
  const generate::Settings& settings() const { return settings_; }
  generate::Decoder::TokenBytes token_bytes() const;

  // Room for one text in the output: a byte that is not UTF-8 becomes U+FFFD, three bytes.
  output::TextsSpec room() const { return {3 * settings_.end.max_bytes, settings_.end.max_tokens}; }
  // A text as users see it: without the opening of the template and white space around it.
  std::string clean(const std::string& text) const;
  // What the texts depend on, for the output file.
  void record(std::vector<output::Attribute>& attributes) const;

 private:
  std::unique_ptr<text::Tokenizer> tokenizer_;
  Prompts prompts_;
  generate::Settings settings_;
};

// How many texts a rank writes at once: as many as gain anything, of states that leave memory for the rest.
inline constexpr Index kMostStateBytes = Index{1} << 30;  // of the states that are written, or wait to be written from, per rank
Index texts_at_once(const model::StateShape& state);
// Adds what they take to what a rank does with a model of that state.
void add_texts(model::Use& use, const model::StateShape& state);

// Between the texts of a document's sections where they are read again, as a document of their own.
inline constexpr const char* kBetweenTexts = "\n\n";

class Writing : public TextRules {
 public:
  // `start_token`: put before everything else; -1: none. InputError for prompts or options that do not go together, or an id
  // that is not in the model's vocabulary.
  Writing(const WritingOptions& options, const std::string& model_path, const std::string& tokenizer_path, TokenId start_token,
          const model::Model& model, Stream stream);

  WritingMode mode() const { return mode_; }

  TokenId start_token() const { return start_token_; }

  // What is read before every document: null when that is nothing.
  const model::State* start() const { return start_ ? &*start_ : nullptr; }
  const std::vector<TokenId>& reminder() const { return reminder_; }
  const std::vector<TokenId>& section_prompt() const { return section_; }
  const std::vector<TokenId>& after_prompt() const { return after_; }

  // Of a sequence: where reminders stand, and where it is cut because something is written there.
  plan::Sections reading() const { return {section_tokens_, std::ssize(reminder_)}; }
  plan::Sections cuts() const { return mode_ == WritingMode::final ? plan::Sections{} : reading(); }
  // Of a document of that many tokens: sections, and tokens with the reminders between them.
  Index count_sections(Index tokens) const { return (tokens + section_tokens_ - 1) / section_tokens_; }
  Index sequence_tokens(Index tokens) const;

  // Of a document of that many tokens: texts that are written after its sections, and whether there is a summary.
  Index count_section_texts(Index tokens) const;
  // Whether the text after that section of a sequence of that many tokens is a document's summary.
  bool is_summary(Index sequence_tokens, Index section) const;
  bool summarises() const { return mode_ != WritingMode::sections; }
  void record(std::vector<output::Attribute>& attributes) const;  // those of TextRules, and its own

 private:
  WritingMode mode_;
  Index section_tokens_;
  TokenId start_token_;
  std::vector<TokenId> reminder_, section_, after_;
  std::optional<model::State> start_;
};

// The ids of a document's sequence, its reminders included, for ring::TokenSource.
class SectionedTokens {
 public:
  // `ids(first, count)` gives the document's own.
  template <class Ids>
  std::span<const TokenId> range(const Writing& writing, Index first, Index count, Ids ids);

 private:
  std::vector<TokenId> buffer_;
};

template <class Ids>
std::span<const TokenId> SectionedTokens::range(const Writing& writing, Index first, Index count, Ids ids) {
  const auto& reminder = writing.reminder();
  if (reminder.empty()) return ids(first, count);
  const Index section = writing.reading().tokens, period = section + std::ssize(reminder);
  buffer_.clear();
  for (Index at = first; at < first + count;) {
    const Index inside = at % period, left = first + count - at;
    if (inside < section) {
      const Index take = std::min(left, section - inside);
      const auto own = ids(at / period * section + inside, take);
      buffer_.insert(buffer_.end(), own.begin(), own.end());
      at += take;
    } else {
      const Index take = std::min(left, period - inside);
      buffer_.insert(buffer_.end(), reminder.begin() + (inside - section), reminder.begin() + (inside - section + take));
      at += take;
    }
  }
  return buffer_;
}

}  // namespace riverrun::jobs
