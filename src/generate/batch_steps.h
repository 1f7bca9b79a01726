// BatchSteps: a token of every text of a batch through the model, step after step.
//
// A step of a large model is hundreds of launches, and on a GPU they take longer than a few texts take to compute. A device that
// records launches (core/device.h) is given those of a step once and runs them as one from then on. The kernels and what they
// are called with are the same either way, and so are all bits.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "model/model.h"

namespace riverrun::generate {

// A step is recorded for some states, when it comes for the third time: to record it takes about as long as to launch it twice, and
// the launches before have loaded the kernels. Of more kinds of steps than this, the one that was not used for longest is forgotten;
// a recording holds some megabytes.
inline constexpr Index kLaunchesBeforeRecording = 2, kMostKindsOfSteps = 16;

class BatchSteps {
 public:
  // Launches what reads the workspace behind the last layer, for so many rows. It must launch the same whenever it is called for
  // the same number.
  using ReadOut = std::function<void(Index rows)>;

  // `model` and `workspace` must outlive it, and `stream` must be waited for before it goes.
  BatchSteps(const model::Model& model, model::Workspace& workspace, ReadOut read_out, Stream stream)
      : model_(model), workspace_(workspace), read_out_(std::move(read_out)), stream_(stream) {}

  // ids[i] goes behind states[i], which goes on. Work of the step before must be done; that of this one may go on. States must
  // stay where they are.
  void launch(std::span<const TokenId> ids, std::span<model::State* const> states);

 private:
  struct Step {
    std::vector<model::State*> states;
    std::unique_ptr<Recording> recording;
    Index launches = 0;  // without the recording
    Index used = 0;
  };
  Step& find(std::span<model::State* const> states);

  const model::Model& model_;
  model::Workspace& workspace_;
  ReadOut read_out_;
  Stream stream_;
  std::vector<kernels::Segment> segments_;  // of one row each
  std::vector<Step> steps_;
  Index count_ = 0;  // of launch()
};

}  // namespace riverrun::generate
