// What every transport of several ranks must do, as bodies that each rank runs.
#pragma once

#include <chrono>
#include <cstddef>
#include <span>
#include <vector>

#include "transport/transport.h"

namespace riverrun::transport {

struct Case {
  const char* name;
  void (*run)(Transport& transport);
  bool needs_rendezvous = false;  // sends wait for their receives
};
std::span<const Case> cases();
std::span<const Case> result_cases();  // those of them about collectives and results

// Longer than any test should wait, on a machine with much else to do.
constexpr std::chrono::seconds kDeadline{30};

// Bytes that tell which message they belong to.
std::vector<std::byte> pattern(Index size, unsigned seed);

// Waits for a ticket, not longer than any test should take.
void finish(Transport& transport, Ticket ticket);

}  // namespace riverrun::transport
