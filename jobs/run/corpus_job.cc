#include "jobs/run/corpus_job.h"

#include <memory>

#include "core/stop.h"
#include "jobs/run/corpus_run.h"
#include "jobs/run/on_ranks.h"

namespace riverrun::jobs {

int run_corpus_job(CorpusJob job, int argc, const char* const* argv) {
  return run_on_ranks(job, argc, argv, [&job](const Prepared& prepared) -> RankBody {
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
