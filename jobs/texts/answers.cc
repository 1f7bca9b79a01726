#include "jobs/texts/answers.h"

#include <cstdio>

#include "core/error.h"
#include "core/log.h"
#include "jobs/run/advice.h"
#include "output/utf8.h"

namespace riverrun::jobs {

namespace {
constexpr Index kMostShown = 50;  // when they are in a file, too

void check_shown(bool shown) {
  if (!shown) throw Error(with_errno("cannot write the answers to standard output"));
}
}  // namespace

Answers::Answers(const KeptStates& states, const std::vector<std::string>& questions, const std::vector<Asked>& rows,
                 const TextRules& rules, DType precision, const AnswerFile& file)
    : questions_(questions), rows_(rows), ids_(states.file().ids()), advice_(advice_on_numbers(precision)), left_(ids_.size()) {
  for (const Asked& row : rows) ++left_[row.document];
  for (Index d = 0; d < std::ssize(left_); ++d) {
    if (left_[d] == 0) failed_[d] = concat("not done in ", states.file().path(), ", so it has no state");
  }
  if (file.path.empty()) return;
  output::FileSpec spec;
  spec.job = "ask";
  spec.attributes = file.attributes;
  spec.ids = ids_, spec.tokens = states.file().tokens(), spec.bytes = states.file().bytes();
  output::AnswersSpec& answers = spec.answers.emplace();
  answers.questions = questions, answers.texts = rules.room();
  for (const Asked& row : rows) answers.document.push_back(row.document), answers.question.push_back(row.question);
  output::Writer::create(file.path, spec, file.overwrite);
  writer_ = std::make_unique<output::Writer>(file.path);
}

void Answers::take(Index row, const ring::WrittenText& text) {
  const Index document = rows_.at(row).document;
  if (text.stop_reason == StopReason::none) failed_[document] = concat("a number on the way to an answer was not finite; ", advice_);
  else if (writer_) writer_->write_text(output::TextGroup::answers, row, {text.text, text.tokens, text.stop_reason});
  if (!writer_ || std::ssize(rows_) <= kMostShown) shown_[row] = output::valid_utf8(text.text);  // as in the file
  if (--left_[document] == 0 && writer_ && !failed_.contains(document)) writer_->mark_done(document);
}

Index Answers::finish() {
  for (const auto& [row, text] : shown_) print(row, text);
  check_shown(std::fflush(stdout) == 0);
  for (const auto& [document, why] : failed_) {
    log_warning("document ", ids_[document], ": ", why);
    if (writer_) writer_->mark_failed(document, why);
  }
  if (writer_) {
    writer_->finish();
    log_info("wrote ", writer_->path());
  }
  return std::ssize(failed_);
}

void Answers::print(Index row, const std::string& text) const {
  const auto [document, question] = rows_[row];
  const std::string lines = concat(row == 0 ? "" : "\n", "# ", ids_[document], ": ", questions_[question], "\n", text, "\n");
  check_shown(std::fwrite(lines.data(), 1, lines.size(), stdout) == lines.size());
}

}  // namespace riverrun::jobs
