#include "jobs/run/result_file.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "core/error.h"
#include "core/log.h"
#include "jobs/run/advice.h"
#include "jobs/run/file_spec.h"
#include "output/difference.h"
#include "output/reader.h"

namespace riverrun::jobs {

namespace {

constexpr auto kCommitInterval = std::chrono::seconds(1);

// None of them is a file of the job itself.
void check_text_files(const TextFiles& files, const CorpusJob& job) {
  namespace fs = std::filesystem;
  const fs::path folder = fs::weakly_canonical(job.also_text);
  std::vector<fs::path> own;
  for (const std::string& file : {job.options.output, job.options.input, job.options.model, job.options.tokenizer, job.options.trace}) {
    if (!file.empty()) own.push_back(fs::weakly_canonical(file));
  }
  for (Index d = 0; d < files.count(); ++d) {
    const fs::path text = folder / fs::path(files.path(d)).filename();
    RR_CHECK_INPUT(std::ranges::find(own, text) == own.end(), "--also-text ", job.also_text, ": the text of a document would be written over ",
                   text.string(), ", a file of this job; name another directory");
  }
}

}  // namespace

ResultFile::ResultFile(const CorpusJob& job, const ring::Request& request, const model::Model& model,
                       const text::Corpus& corpus, const std::vector<output::Attribute>& attributes,
                       const Writing* writing, const Passages* passages)
    : half_(job.embedding_f16), advice_(advice_on_numbers(model.precision())), corpus_(corpus), state_(model.state_shape()), passages_(passages) {
  const std::string& path = job.options.output;
  output::FileSpec spec = make_file_spec(job.name, request, job.embedding_f16, model.config(), corpus, writing);
  spec.attributes = attributes;
  if (passages) spec.passages = passages->spec();
  if (!job.also_text.empty()) {
    text_files_ = std::make_unique<TextFiles>(job.also_text, spec.ids);
    check_text_files(*text_files_, job);
  }
  if (job.options.resume && std::filesystem::exists(path)) {
    const output::Reader made(path);
    RR_CHECK_INPUT(!made.attribute("merged_from"), "cannot --resume ", path, ": riverrun merge made it of several outputs; go on with those, "
                   "and merge again");
    const std::string found = output::difference(made, spec);
    RR_CHECK_INPUT(found.empty(), "cannot --resume ", path, ": ", found, "; use the same input, model and options, or --overwrite");
  } else {
    output::Writer::create(path, spec, job.options.overwrite);
  }
  writer_ = std::make_unique<output::Writer>(path);
  first_score_ = output::score_offsets(spec.tokens);
  Index windows = 0, sections = 0, all_passages = 0;
  for (std::size_t d = 0; d < corpus.documents.size(); ++d) {
    first_window_.push_back(windows);
    windows += count_windows(spec.tokens[d], request.window);
    const Index length = corpus.documents[d].length, own_sections = writing ? writing->count_section_texts(length) : 0;
    first_section_.push_back(sections);
    sections += own_sections;
    first_passage_.push_back(all_passages);
    all_passages += passages ? passages->of_document(static_cast<Index>(d)) : 0;
    pending_.push_back({writing ? writing->sequence_tokens(length) : length, own_sections + Index{writing && writing->summarises()}});
    if (!corpus.documents[d].error.empty()) mark_failed(static_cast<Index>(d), corpus.documents[d].error);
  }
  if (writing) cuts_ = writing->cuts();
  writer_->commit();
}

void ResultFile::go_on(Index document, Index next_token) {
  Pending& pending = pending_.at(document);
  Along& along = along_[document];
  along.tokens = next_token;
  if (cuts_.tokens > 0 && next_token >= cuts_.tokens) along.sections = (next_token - cuts_.tokens) / (cuts_.tokens + cuts_.between) + 1;
  pending.tokens_left -= next_token;
  pending.texts_left -= along.sections;
  RR_CHECK(pending.tokens_left > 0 && pending.texts_left >= 0, "document ", document, " cannot go on from token ", next_token);
}

std::vector<std::string> ResultFile::texts_before(Index document) const {
  const Index sections = along_.at(document).sections;
  if (sections == 0) return {};
  return output::Reader(path()).strings("/sections/text", first_section_[document], sections);
}

Index ResultFile::written_up_to(Index document) const {
  const auto found = along_.find(document);
  if (found == along_.end() || !pending_[document].finite) return 0;
  const Along& along = found->second;
  if (cuts_.tokens == 0) return along.tokens;
  const Index end_of_next_section = cuts_.tokens + along.sections * (cuts_.tokens + cuts_.between);
  return std::min(along.tokens, end_of_next_section - 1);
}

bool ResultFile::is_settled(Index document) const {
  return writer_->status()[document] == output::Status::done || !corpus_.documents[document].error.empty();
}

void ResultFile::mark_failed(Index document, const std::string& error) {
  failures_.push_back(concat(corpus_.documents[document].id, ": ", error));
  log_warning("document ", failures_.back());
  writer_->mark_failed(document, error);
}

void ResultFile::take(ring::SliceResult result) {
  Pending& pending = pending_.at(result.document);
  write(result);
  pending.finite = pending.finite && result.finite && fits(result.embedding) && fits(result.windows);
  if (result.trouble != ring::Trouble{}) {
    // Results come in any order: the first of the document is told of.
    const auto [found, is_new] = troubles_.emplace(result.document, std::pair{result.first_token, result.trouble});
    if (!is_new && result.first_token < found->second.first) found->second = {result.first_token, result.trouble};
  }
  pending.tokens_left -= result.tokens;
  RR_CHECK(pending.tokens_left >= 0, "more results than tokens for document ", result.document);
  tokens_done_ += result.tokens;
  if (result.first_token > 0 || !result.last) {
    Along& along = along_[result.document];
    along.ahead.emplace(result.first_token, result.first_token + result.tokens);
    for (auto at = along.ahead.begin(); at != along.ahead.end() && at->first == along.tokens; at = along.ahead.erase(at)) along.tokens = at->second;
  }
  settle_if_complete(result.document);
}

void ResultFile::take_text(Index document, bool summary, const ring::WrittenText& text) {
  const Index row = summary ? document : first_section_[document] + text.section;
  // A text without an end was broken off by a number that is not finite.
  if (text.stop_reason == StopReason::none) spoil(document);
  else writer_->write_text(summary ? output::TextGroup::summaries : output::TextGroup::sections, row, {text.text, text.tokens, text.stop_reason});
  Pending& pending = pending_.at(document);
  if (const auto found = along_.find(document); found != along_.end() && !summary) {
    Along& along = found->second;
    along.sections_ahead.insert(text.section);
    while (along.sections_ahead.erase(along.sections) > 0) ++along.sections;
  }
  RR_CHECK(--pending.texts_left >= 0, "more texts than were asked for of document ", document);
  settle_if_complete(document);
}

void ResultFile::give_up(Index document, const std::string& why) {
  pending_.at(document) = {};
  ++documents_done_;
  along_.erase(document);
  mark_failed(document, why);
}

void ResultFile::settle_if_complete(Index document) {
  if (is_complete(document)) {
    ++documents_done_;
    along_.erase(document);
    if (pending_[document].finite) {
      write_passages(document);
      writer_->mark_done(document);
    } else {
      mark_failed(document, why_failed(document));
    }
  }
  if (std::chrono::steady_clock::now() - committed_ >= kCommitInterval) commit();
}

std::string ResultFile::why_failed(Index document) const {
  const auto found = troubles_.find(document);
  if (found == troubles_.end()) {
    return concat("a result came out infinite", half_ ? ", not a number, or too large for --dtype float16; try --dtype float32 or " : " or not a number; ", advice_);
  }
  const auto [layer, token] = found->second.second;
  const std::string where = token < 0 ? std::string("behind the last layer") : concat("in layer ", layer, " at token ", token);
  return concat("a number came out infinite or not a number ", where, " (both counted from 0); ", advice_);
}

void ResultFile::commit() {
  writer_->commit();
  committed_ = std::chrono::steady_clock::now();
}

bool ResultFile::fits(std::span<const float> vectors) const {
  constexpr float kLargestHalf = 65504.0f;
  return !half_ || std::all_of(vectors.begin(), vectors.end(), [](float value) { return std::abs(value) <= kLargestHalf; });
}

void ResultFile::write(const ring::SliceResult& result) {
  const Index document = result.document;
  if (!result.embedding.empty()) writer_->write_embedding(document, result.embedding);
  const std::span windows(result.windows);
  const auto width = static_cast<std::size_t>(state_.row_floats);
  for (std::size_t w = 0; w * width < windows.size(); ++w) {
    writer_->write_window(first_window_[document] + result.first_window + Index(w), windows.subspan(w * width, width));
  }
  if (!result.scores.empty()) writer_->write_scores(first_score_[document] + result.first_score, result.scores);
  const std::span state(result.state);
  for (Index layer = 0; !state.empty() && layer < state_.layers; ++layer) {
    const auto values = state.subspan(layer * state_.layer_floats(), state_.layer_floats());
    writer_->write_wkv_state(document, layer, values.first(state_.state_floats()));
    writer_->write_shift_state(document, layer, values.subspan(state_.state_floats()));
  }
}

// All windows of the document are in the file, from this run or from one before.
void ResultFile::write_passages(Index document) {
  if (!passages_ || passages_->of_document(document) == 0) return;
  const Index first = first_window_[document];
  const auto windows = writer_->read_windows(first, passages_->windows_of(document));
  Index row = first_passage_[document];
  for (const output::Passage& passage : passages_->choose(document, windows, state_.row_floats)) writer_->write_passage(row++, passage);
}

void ResultFile::finish() {
  writer_->finish();
  if (text_files_) text_files_->write_all(path());
}

}  // namespace riverrun::jobs
