// riverrun merge: the outputs of a corpus's shards as the one file that a single run would have written.

#include "output/merge.h"

#include "core/error.h"
#include "core/log.h"
#include "core/progress.h"
#include "core/utc.h"
#include "jobs/commands.h"
#include "jobs/options.h"
#include "jobs/run/machine.h"
#include "jobs/run/run_lock.h"
#include "jobs/run/run_record.h"

namespace riverrun::jobs {

int run_merge(int argc, const char* const* argv) {
  namespace po = boost::program_options;
  std::string out;
  output::MergeOptions options;
  po::options_description own("Merging", 100);
  own.add_options()
      ("output,o", output_option(out)->required(), "the HDF5 file to write")
      ("allow-incomplete", po::bool_switch(&options.allow_incomplete), "take unfinished files too: their documents stay pending")
      ("overwrite", po::bool_switch(&options.replace), "replace an existing output");
  std::vector<std::string> files;
  if (!parse(argc, argv, "riverrun merge --output FILE SHARD...\none output from those of the shards of a corpus", own, &files)) return 0;
  RR_CHECK_INPUT(!files.empty(), "say which files to merge; see riverrun merge --help");
  check_one_process("merge");
  const RunLock lock(out);
  options.attributes = {{"command", command_line(argc, argv)}, {"created", utc_now()}, {"riverrun_version", std::string(RIVERRUN_VERSION)}};
  const output::Merged merged = output::merge(out, files, options);
  log_info("wrote ", out, ": ", counted(merged.documents, "document"), " from ", counted(std::ssize(files), "file"));
  if (merged.pending > 0) log_warning(merged.pending, " of them are pending");
  if (merged.failed > 0) log_warning(merged.failed, " of them failed; reasons are in /documents/error");
  return merged.failed > 0 ? static_cast<int>(ExitCode::some_documents_failed) : 0;
}

}  // namespace riverrun::jobs
