#include "jobs/texts/kept_states.h"

#include <algorithm>

#include "core/error.h"

namespace riverrun::jobs {

template <class Value>
void KeptStates::same(const char* what, const Value& theirs, const Value& ours) const {
  RR_CHECK_INPUT(theirs == ours, reader_.path(), ": its states are of another model: ", what, " is ", theirs, " there, and ", ours, " here");
}

// A state depends on how it was computed. Read on from otherwise, it would answer, but not as that document's own continuation.
void KeptStates::computed_alike(const char* option, const std::string& theirs, const std::string& ours, const std::string& say) const {
  RR_CHECK_INPUT(theirs == ours, reader_.path(), ": its states were computed with ", theirs, " (", option, "), and the question would be read with ",
                 ours, "; say ", option, " ", say, ", or run the job that kept them anew");
}

KeptStates::KeptStates(const std::string& path, const model::Model& model) : reader_(path), shape_(model.state_shape()), device_(model.device()) {
  const model::Config& config = model.config();
  const auto* wkv = reader_.dataset("/states/wkv");
  const auto* shift = reader_.dataset("/states/shift");
  RR_CHECK_INPUT(wkv && shift, path, ": keeps no states; run embed, score or summarize with --save-states");
  same("generation", reader_.text("generation"), config.generation);
  same("layers", reader_.integer("layers"), config.layers);
  same("channels", reader_.integer("channels"), config.channels);
  same("head_size", reader_.integer("head_size"), config.head_size);
  same("vocab", reader_.integer("vocab"), config.vocab);
  const std::string precision = reader_.text("precision"), weights = reader_.text("weights");
  computed_alike("--precision", precision, name_of(model.precision()), precision);
  computed_alike("--weights", weights, name_of(model.weights()), weights == name_of(DType::i8) ? weights : "auto");
  RR_CHECK_INPUT(wkv->shape.size() >= 3 && wkv->shape[1] == shape_.layers && wkv->row_elements() == shape_.layers * shape_.state_floats() &&
                     shift->row_elements() == shape_.layers * 2 * shape_.row_floats,
                 path, ": its states are not those of all ", shape_.layers, " layers");
}

void KeptStates::check_model(const std::string& sha256) const { same("model_sha256", reader_.text("model_sha256"), sha256); }

std::unique_ptr<model::State> KeptStates::read(Index document) const {
  std::unique_lock lock(mutex_);
  const auto wkv = reader_.floats("/states/wkv", document, 1), shift = reader_.floats("/states/shift", document, 1);
  lock.unlock();
  auto state = std::make_unique<model::State>(shape_, device_);
  for (Index layer = 0; layer < shape_.layers; ++layer) {
    std::copy_n(wkv.begin() + layer * shape_.state_floats(), shape_.state_floats(), state->parts(layer));
    std::copy_n(shift.begin() + layer * 2 * shape_.row_floats, 2 * shape_.row_floats, state->time_row(layer));
  }
  return state;
}

}  // namespace riverrun::jobs
