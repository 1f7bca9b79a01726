// Moving items between ranks so that all have about as many.
#pragma once

#include <cstddef>
#include <vector>

#include "transport/transport.h"

namespace riverrun::ring {

using Items = std::vector<std::vector<std::byte>>;

// Called by all ranks at once, when no other messages are under way. Returns this rank's items after the exchange; those it
// keeps come first, in their order. `busy` counts as items that this rank has and cannot give away. Which items go where
// follows from the ranks' counts alone. No two ranks differ by more than one item then, as far as moving items goes.
Items even_out(transport::Transport& transport, Items items, Index busy, transport::Clock::duration timeout);

}  // namespace riverrun::ring
