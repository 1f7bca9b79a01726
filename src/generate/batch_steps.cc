#include "generate/batch_steps.h"

#include <algorithm>

namespace riverrun::generate {

// One that is not known takes the place of another, if need be.
BatchSteps::Step& BatchSteps::find(std::span<model::State* const> states) {
  const auto found = std::ranges::find_if(steps_, [&](const Step& step) { return std::ranges::equal(step.states, states); });
  if (found != steps_.end()) return *found;
  if (std::ssize(steps_) == kMostKindsOfSteps) steps_.erase(std::ranges::min_element(steps_, {}, &Step::used));
  steps_.push_back({{states.begin(), states.end()}, nullptr});
  return steps_.back();
}

void BatchSteps::launch(std::span<const TokenId> ids, std::span<model::State* const> states) {
  const Index rows = std::ssize(ids);
  for (Index row = std::ssize(segments_); row < rows; ++row) segments_.push_back({row, row + 1});
  model_.take_in(workspace_, ids, std::span(segments_).first(ids.size()));
  const auto launches = [&] {
    model_.embed_block(workspace_);
    model::run_layers(model_, workspace_, states);
    read_out_(rows);
  };
  Step& step = find(states);
  step.used = ++count_;
  if (step.recording == nullptr && step.launches == kLaunchesBeforeRecording) step.recording = stream_.device->record(stream_, launches);
  if (step.recording != nullptr) return step.recording->run(stream_);
  step.launches = std::min(step.launches + 1, kLaunchesBeforeRecording);
  launches();
}

}  // namespace riverrun::generate
