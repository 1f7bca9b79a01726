#include "jobs/report.h"

#include <algorithm>
#include <iomanip>
#include <sstream>

#include "core/log.h"
#include "core/progress.h"

namespace riverrun::jobs {

namespace {
constexpr std::size_t kFailuresShown = 5;
}

void report_run(const ResultFile& results, const plan::Plan& plan, std::span<const ring::Statistics> of_ranks) {
  double seconds = 0, compute = 0, wait = 0;
  Index sent = 0;
  for (const ring::Statistics& rank : of_ranks) {
    seconds = std::max(seconds, rank.total_seconds);
    compute += rank.compute_seconds;
    wait += rank.wait_seconds;
    sent += rank.bytes_sent;
  }
  const double ranks = static_cast<double>(of_ranks.size());
  const auto counted = [](Index count, const char* what) { return concat(count, " ", what, count == 1 ? "" : "s"); };
  log_info(counted(results.documents_done(), "document"), ", ", short_number(double(plan.tokens)), " tokens in ", short_time(seconds), ": ",
           short_number(seconds > 0 ? double(plan.tokens) / seconds : 0), " tokens/s on ", counted(std::ssize(of_ranks), "rank"));
  if (of_ranks.size() > 1 && seconds > 0) {
    std::ostringstream text;
    text << std::fixed << std::setprecision(1) << "ranks computed " << 100 * compute / (ranks * seconds) << " % and waited "
         << 100 * wait / (ranks * seconds) << " % of the time; " << double(sent) / 1048576 << " MiB sent";
    log_info(text.str());
  }
  if (results.failed() > 0) {
    log_warning(results.failed(), " of ", results.documents(), " documents failed; reasons are in /documents/error");
    for (std::size_t i = 0; i < std::min(kFailuresShown, results.failures().size()); ++i) log_warning("  ", results.failures()[i]);
  }
  log_info("wrote ", results.path());
}

}  // namespace riverrun::jobs
