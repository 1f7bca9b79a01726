#include "jobs/run/report.h"

#include <algorithm>
#include <cstdio>

#include "core/log.h"
#include "core/progress.h"
#include "plan/forecast.h"

namespace riverrun::jobs {

namespace {

constexpr std::size_t kFailuresShown = 5;
constexpr double kHopSeconds = 60e-6;  // one layer's state, from rank to rank: a usual figure

std::string percent(double share) {
  char text[16];
  std::snprintf(text, sizeof text, "%.1f %%", 100 * share);
  return text;
}

// What the closed form makes of this plan, when a token costs what it did cost here.
double forecast_efficiency(const plan::Plan& plan, const model::Model& model, const ring::Statistics& sum) {
  const model::StateShape& state = model.state_shape();
  const double tokens = double(plan.tokens);
  plan::Machine machine{};
  machine.layers = state.layers;
  machine.channels = state.row_floats;
  machine.state_bytes_per_layer = state.layer_floats() * Index{sizeof(float)};
  machine.flops_per_token = (sum.compute_seconds - sum.state_seconds) / tokens;  // seconds, at a rate of 1
  machine.state_flops_per_token = sum.state_seconds / tokens;
  machine.flops_per_second = machine.state_flops_per_second = 1;
  machine.hop_seconds = kHopSeconds;
  return plan::make_forecast(plan, machine).efficiency;
}

}  // namespace

void report_run(const ResultFile& results, const plan::Plan& plan, const model::Model& model, std::span<const ring::Statistics> of_ranks) {
  ring::Statistics sum;
  double seconds = 0;
  for (const ring::Statistics& rank : of_ranks) {
    seconds = std::max(seconds, rank.total_seconds);
    sum += rank;
  }
  log_info(counted(results.documents_done(), "document"), ", ", short_number(double(plan.tokens)), " tokens in ", short_time(seconds), ": ",
           short_number(seconds > 0 ? double(plan.tokens) / seconds : 0), " tokens/s on ", counted(std::ssize(of_ranks), "rank"),
           model.weights() == DType::i8 ? ", int8 weights" : "");
  if (of_ranks.size() > 1 && seconds > 0 && plan.tokens > 0) {
    const double all = seconds * double(of_ranks.size());
    const double idle = all - sum.compute_seconds - sum.fork_seconds - sum.send_seconds - sum.wait_seconds;
    log_info("of the ranks' time: ", percent(sum.compute_seconds / all), " computing, ",
             sum.fork_seconds > 0 ? percent(sum.fork_seconds / all) + " writing texts, " : "", percent(sum.send_seconds / all), " sending, ",
             percent(sum.wait_seconds / all), " waiting, ", percent(idle / all), " done before others; ",
             percent(forecast_efficiency(plan, model, sum)), " computing by the forecast; ",
             sum.bytes_sent / 1048576, " MiB sent");
  }
  if (sum.texts > 0) {
    log_info("wrote ", counted(sum.texts, "text"), " of ", short_number(double(sum.text_tokens)), " tokens in all: ",
             short_number(double(sum.text_tokens) / sum.fork_seconds), " tokens/s of each rank, reading prompts included");
  }
  if (sum.verified > 0) log_info("verified: ", counted(sum.verified, "block"), " came to the same bytes on ", of_ranks.size() > 1 ? "another rank" : "this rank again");
  if (results.failed() > 0) {
    log_warning(results.failed(), " of ", results.documents(), " documents failed; reasons are in /documents/error");
    for (std::size_t i = 0; i < std::min(kFailuresShown, results.failures().size()); ++i) log_warning("  ", results.failures()[i]);
  }
  log_info("wrote ", results.path());
}

}  // namespace riverrun::jobs
