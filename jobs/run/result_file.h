// ResultFile: from slice results to rows of the output file (rank 0).
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "jobs/run/corpus_job.h"
#include "jobs/texts/passages.h"
#include "jobs/texts/text_files.h"
#include "model/model.h"
#include "output/writer.h"
#include "ring/result.h"
#include "text/corpus.h"

namespace riverrun::jobs {

class ResultFile {
 public:
  // Creates the file, or opens it to resume: InputError when it holds another run than this one. Documents that the
  // first pass found bad are marked failed at once.
  ResultFile(const CorpusJob& job, const ring::Request& request, const model::Model& model, const text::Corpus& corpus,
             const std::vector<output::Attribute>& attributes, const Writing* writing, const Passages* passages);

  // The document goes on from this token of its sequence: an earlier run has written all that comes before.
  void go_on(Index document, Index next_token);
  // Of a document that goes on: the texts of its first sections, which are written.
  std::vector<std::string> texts_before(Index document) const;

  // Nothing is left to do for this document: done in an earlier run, or bad.
  bool is_settled(Index document) const;

  // Writes what a slice adds. A document is marked when all of its slices are in; marks reach the file about once a
  // second.
  void take(ring::SliceResult result);
  // Writes a section's text, or the document's summary.
  void take_text(Index document, bool summary, const ring::WrittenText& text);
  // A number on the way to the document's results was not finite: it will be marked failed.
  void spoil(Index document) { pending_.at(document).finite = false; }
  bool is_spoiled(Index document) const { return !pending_.at(document).finite; }
  // The document can have no more texts, for that reason.
  void give_up(Index document, const std::string& why);
  // Of a document that is not complete: up to where its results, and the texts of its sections, have all been written, so that
  // another run may go on from there. 0 when none may: a result was not finite.
  Index written_up_to(Index document) const;
  bool is_complete(Index document) const { return pending_.at(document).tokens_left == 0 && pending_.at(document).texts_left == 0; }
  void commit();  // marks reach the file
  void finish();

  const std::string& path() const { return writer_->path(); }
  Index tokens_done() const { return tokens_done_; }        // in this run
  Index documents_done() const { return documents_done_; }  // in this run
  Index failed() const { return static_cast<Index>(failures_.size()); }
  const std::vector<std::string>& failures() const { return failures_; }  // "id: reason"
  Index documents() const { return writer_->documents(); }

 private:
  std::string why_failed(Index document) const;

  struct Pending {
    Index tokens_left = 0, texts_left = 0;
    bool finite = true;
  };
  // Of a document of more than one slice, while it is not complete.
  struct Along {
    Index tokens = 0;              // all before have been written,
    std::map<Index, Index> ahead;  // and these: first token and end
    Index sections = 0;            // the same for texts of sections
    std::set<Index> sections_ahead;
  };
  void mark_failed(Index document, const std::string& error);
  void write(const ring::SliceResult& result);
  void write_passages(Index document);
  void settle_if_complete(Index document);
  bool fits(std::span<const float> vectors) const;

  const bool half_;
  const char* const advice_;  // when numbers are not finite
  const text::Corpus& corpus_;
  const model::StateShape state_;
  std::unique_ptr<output::Writer> writer_;
  std::unique_ptr<TextFiles> text_files_;
  const Passages* passages_;
  std::vector<Index> first_score_, first_window_, first_section_, first_passage_;  // per document, of its rows
  std::vector<Pending> pending_;                   // per document
  std::map<Index, Along> along_;                   // by document
  std::map<Index, std::pair<Index, ring::Trouble>> troubles_;  // by document, where known: of its first slice with one, which begins there
  plan::Sections cuts_;                            // where texts are written within a document
  std::vector<std::string> failures_;
  Index tokens_done_ = 0, documents_done_ = 0;
  std::chrono::steady_clock::time_point committed_ = std::chrono::steady_clock::now();
};

}  // namespace riverrun::jobs
