#include "transport/transport.h"

#include <algorithm>
#include <thread>

#include "core/error.h"
#include "transport/ranks.h"

namespace riverrun::transport {

namespace {
using namespace std::chrono_literals;

// Some hundred polls cover the gap between two layers; whoever waits longer sleeps. Yielding between polls costs
// little on a core of one's own, and lets ranks that share one go on (ten times faster with two on a busy machine).
constexpr int kSpins = 300;
constexpr Clock::duration kFirstSleep = 1us, kLongestSleep = 200us;

double seconds(Clock::duration time) { return std::chrono::duration<double>(time).count(); }

// Throws unless every rank lives and some rank gets on.
void give_up(Transport& transport, Clock::duration waited, Clock::duration timeout, const std::function<std::string()>& what) {
  const Health health = transport.health();
  const bool silent = health.quietest >= 0 && health.silence >= timeout;
  if (!silent && health.standstill < timeout) return;
  throw Error(concat("rank ", transport.rank(), " waited ", seconds(waited), " s for ", what(), "; ",
                     silent ? concat("rank ", health.quietest, " has been silent for ", seconds(health.silence), " s")
                            : concat("no rank has got anything done for ", seconds(health.standstill), " s"),
                     " (--timeout says how long is too long)"));
}

}  // namespace

void wait_until(Transport& transport, const std::function<bool()>& finished, Clock::duration timeout,
                const std::function<std::string()>& what, const std::function<void()>& idle) {
  const auto begin = Clock::now();
  Clock::duration sleep = kFirstSleep;
  for (int poll = 0; !finished(); ++poll) {
    transport.progress();
    if (const auto waited = Clock::now() - begin; waited >= timeout) give_up(transport, waited, timeout, what);
    if (idle) idle();
    if (poll < kSpins) {
      std::this_thread::yield();
      continue;
    }
    std::this_thread::sleep_for(sleep);
    sleep = std::min(sleep * 2, kLongestSleep);
  }
}

void check_address(const Transport& transport, int peer, Index tag) {
  RR_CHECK(peer >= 0 && peer < transport.size() && peer != transport.rank(), "rank ", transport.rank(), " of ",
           transport.size(), " has no peer ", peer);
  RR_CHECK(tag >= 0 && tag <= transport.most_tag(), "tag ", tag, " is not in 0 to ", transport.most_tag());
}

void throw_wrong_length(int rank, int peer, Index tag, Index got, Index expected) {
  const std::string length = got < 0 ? "more bytes" : concat(got, " bytes");
  throw Error(concat("rank ", rank, " got ", length, " from rank ", peer, " with tag ", tag, " where it expected ",
                     expected, "; do all ranks run the same build with the same options?"));
}

}  // namespace riverrun::transport
