// What every transport of several ranks must do, as bodies that each rank runs.
#pragma once

#include <span>

#include "transport/transport.h"

namespace riverrun::transport {

struct Case {
  const char* name;
  void (*run)(Transport& transport);
  bool needs_rendezvous = false;  // sends wait for their receives
};
std::span<const Case> cases();

// Waits for a ticket, not longer than any test should take.
void finish(Transport& transport, Ticket ticket);

}  // namespace riverrun::transport
