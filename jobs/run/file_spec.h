// FileSpec of a job: what its output will hold, known after the first pass.
#pragma once

#include <string>

#include "jobs/texts/writing.h"
#include "model/config.h"
#include "output/schema.h"
#include "ring/result.h"
#include "text/corpus.h"

namespace riverrun::jobs {

// Without attributes. request.start_tokens is settled. `writing`: null for a job that writes no texts.
output::FileSpec make_file_spec(const std::string& job, const ring::Request& request, bool embedding_f16,
                                const model::Config& config, const text::Corpus& corpus, const Writing* writing);

// How many windows of `window` tokens (0: none) cover `tokens`.
Index count_windows(Index tokens, Index window);

}  // namespace riverrun::jobs
