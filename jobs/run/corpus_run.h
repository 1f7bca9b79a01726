// CorpusRun: one run of a job over a corpus, on one rank. Everything that all ranks must agree on comes from rank 0 and is
// broadcast.
#pragma once

#include <memory>

#include "jobs/run/checkpoints.h"
#include "jobs/run/corpus_job.h"
#include "jobs/run/on_ranks.h"
#include "jobs/run/result_file.h"
#include "jobs/run/scratch_file.h"
#include "jobs/run/work_list.h"
#include "jobs/texts/hierarchy.h"
#include "jobs/texts/passages.h"
#include "plan/plan.h"
#include "ring/ring.h"
#include "text/corpus.h"
#include "transport/transport.h"

namespace riverrun::jobs {

class CorpusRun {
 public:
  // All must outlive it. `writing`: null for a job that writes no texts.
  CorpusRun(const CorpusJob& job, const Prepared& prepared, const Writing* writing, transport::Transport& transport);

  // The exit code, the same on all ranks.
  int run();

 private:
  bool leads() const { return transport_.rank() == 0; }
  void prepare();
  void list_documents();
  void find_checkpoints();
  bool next_level();
  void share();
  void compute();
  ring::Checkpoints ring_checkpoints();
  void take(ring::SliceResult result);
  void keep_up(Index document);
  void gather_trace(const Trace& trace);
  int finish();
  int stop();
  void tell_stopped() const;

  const CorpusJob& job_;
  const Prepared& prepared_;
  const model::Model& model_;
  const Writing* const writing_;
  transport::Transport& transport_;
  transport::Clock::duration timeout_;
  ring::Request request_;
  CheckpointFolder folder_;
  WorkList list_;
  std::unique_ptr<text::TokenSpool> spool_;
  Index level_ = 0;  // of a hierarchy of summaries
  ring::Statistics statistics_;
  // Rank 0:
  std::unique_ptr<ScratchFile> spool_file_;
  text::Corpus corpus_;
  std::unique_ptr<Passages> passages_;  // null for a job that chooses none
  std::unique_ptr<ResultFile> results_;
  std::unique_ptr<Checkpoints> checkpoints_;
  plan::Plan plan_;  // of the documents themselves
  std::unique_ptr<Hierarchy> hierarchy_;
};

}  // namespace riverrun::jobs
