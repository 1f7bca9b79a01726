#include <vector>

#include "model/model.h"

namespace riverrun::model {

void run_layers(const Model& model, Workspace& workspace, std::span<State* const> states) {
  std::vector<float*> pointers(states.size());
  const auto point = [&](float* (State::*place)(Index) const, Index layer) {
    for (std::size_t i = 0; i < states.size(); ++i) pointers[i] = (states[i]->*place)(layer);
    return pointers.data();
  };
  for (Index layer = 0; layer < model.config().layers; ++layer) {
    float* const* rows = point(&State::time_row, layer);
    model.mix_time(workspace, layer, rows, rows);
    model.project(workspace, layer);
    float* const* parts = point(&State::parts, layer);
    model.pass_state(workspace, layer, 0, model.state_shape().parts, parts, parts);
    model.read_out(workspace, layer);
    rows = point(&State::channel_row, layer);
    model.mix_channel(workspace, layer, rows, rows);
    model.feed_forward(workspace, layer);
  }
}

void move_state(const Model& model, std::unique_ptr<State>& from, std::unique_ptr<State>& to, Stream stream) {
  if (model.device().kind() == DeviceKind::cpu) {
    to = std::move(from);
    return;
  }
  if (to == nullptr) to = std::make_unique<State>(model.make_state(Memory::device));
  const auto values = from->values();
  model.device().copy(to->values().data(), values.data(), static_cast<Index>(values.size_bytes()), stream);
}

}  // namespace riverrun::model
