// One rank at work alone for a while.
#pragma once

#include <chrono>
#include <future>

#include "core/log.h"
#include "transport/transport.h"

namespace riverrun::jobs {

// Runs `work` on another thread, and meanwhile tells the other ranks, which wait, that this one lives and gets on.
template <class Work>
void while_alive(transport::Transport& transport, Work work) {
  auto done = std::async(std::launch::async, [&] {
    set_log_rank(transport.rank(), transport.size());
    work();
  });
  while (done.wait_for(std::chrono::milliseconds(2)) != std::future_status::ready) {
    transport.note_step();
    transport.progress();
  }
  done.get();
}

}  // namespace riverrun::jobs
