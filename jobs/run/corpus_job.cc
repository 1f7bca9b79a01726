#include "jobs/run/corpus_job.h"

#include <memory>

#include "core/stop.h"
#include "jobs/run/corpus_run.h"
#include "jobs/run/on_ranks.h"
#include "jobs/texts/writing.h"

namespace riverrun::jobs {

namespace {

// What a rank does with the model; the longest document, which may make blocks smaller, is not known yet.
model::Use use_of(const CorpusJob& job, const model::StateShape& state) {
  const DeviceKind device = kernels::find_backend(job.options.backend).device->kind();
  model::Use use{.block_tokens = choose_block_tokens(job.options.block_tokens, 0, device), .means = job.request.sums(), .scores = job.request.scores};
  if (job.writing) add_texts(use, state);
  return use;
}

}  // namespace

int run_corpus_job(CorpusJob job, int argc, const char* const* argv) {
  const auto use = [&job](const model::StateShape& state) { return use_of(job, state); };
  return run_on_ranks(job, argc, argv, use, [&job](const Prepared& prepared) -> RankBody {
    if (job.settle) job.settle(job, prepared.model.config());
    std::shared_ptr<const Writing> writing;  // null for a job that writes no texts
    if (job.writing) {
      const Index asked = parse_token_option("--start-token", job.options.start_token);
      const TokenId start = asked == -2 ? job.auto_start_token : static_cast<TokenId>(asked);
      writing = std::make_shared<const Writing>(*job.writing, job.options.model, job.options.tokenizer, start, prepared.model, prepared.stream);
      writing->record(job.attributes);
    }
    return [&job, &prepared, writing](transport::Transport& transport) {
      note_stop_signals();
      return CorpusRun(job, prepared, writing.get(), transport).run();
    };
  });
}

}  // namespace riverrun::jobs
