// Options of every job that writes texts.
#pragma once

#include <boost/program_options.hpp>

#include "jobs/texts/writing.h"

namespace riverrun::jobs {

// --template, --prompt-file, --max-new-tokens, --stop, sampling. `seed` is settled by settle_texts().
boost::program_options::options_description describe_texts(WritingOptions& options, Index& seed);
// After parsing: ranges that only options know of.
void settle_texts(WritingOptions& options, Index seed);

}  // namespace riverrun::jobs
