#include "model/initial_state.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

#include "core/error.h"
#include "model/weights.h"

namespace riverrun::model {

namespace {

State read_layers(const checkpoint::Checkpoint& file, const Config& config, const StateShape& shape) {
  State state(shape);
  const std::vector<Index> expected = {config.heads, config.head_size, config.head_size};
  for (Index layer = 0; layer < config.layers; ++layer) {
    const checkpoint::Tensor& tensor = file.require(time_state_name(layer), expected);
    const Array<float> values = read_floats(file, tensor);
    RR_CHECK_INPUT(std::ranges::all_of(values.span(), [](float value) { return std::isfinite(value); }), file.path(), ": ",
                   tensor.name, " has elements that are not finite numbers");
    std::ranges::copy(values.span(), state.parts(layer));
  }
  return state;
}

}  // namespace

std::string time_state_name(Index layer) { return concat("blocks.", layer, ".att.time_state"); }

std::optional<State> find_tuned_state(const checkpoint::Checkpoint& file, const Config& config, const StateShape& shape) {
  bool found = false;
  for (Index layer = 0; layer < config.layers; ++layer) found = found || file.find(time_state_name(layer)) != nullptr;
  if (!found) return std::nullopt;
  return read_layers(file, config, shape);
}

State read_tuned_state(const std::string& path, const Config& config, const StateShape& shape) {
  const auto file = checkpoint::open_checkpoint(path);
  std::set<std::string> known;
  for (Index layer = 0; layer < config.layers; ++layer) known.insert(time_state_name(layer));
  for (const auto& [name, tensor] : file->tensors()) {
    RR_CHECK_INPUT(known.count(name) != 0, path, ": tensor ", name, " is no part of an initial state of this model, which is ",
                   time_state_name(0), " to ", time_state_name(config.layers - 1));
  }
  return read_layers(*file, config, shape);
}

}  // namespace riverrun::model
