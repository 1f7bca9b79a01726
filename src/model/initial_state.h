// Tuned initial states: `blocks.l.att.time_state` [H, N, N] for every layer, in a checkpoint or in a file of their own.
//
// The official files hold them as [head][value][key], as we do. State tuning leaves the token-shift rows at zero.
#pragma once

#include <optional>
#include <string>

#include "checkpoint/checkpoint.h"
#include "model/config.h"
#include "model/state.h"

namespace riverrun::model {

std::string time_state_name(Index layer);

// From a checkpoint that may have none.
std::optional<State> find_tuned_state(const checkpoint::Checkpoint& file, const Config& config, const StateShape& shape);

// From a file that holds one and nothing else. InputError, which names the tensor, when it is not one of this model.
State read_tuned_state(const std::string& path, const Config& config, const StateShape& shape);

}  // namespace riverrun::model
