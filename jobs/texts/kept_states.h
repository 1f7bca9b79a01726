// KeptStates: the states that a job kept with --save-states, as starting points for further reading.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "model/model.h"
#include "output/reader.h"

namespace riverrun::jobs {

class KeptStates {
 public:
  // InputError when the file keeps no states of all layers, or not those of such a model: generation and sizes must agree,
  // and so must precision and the type of the weights.
  KeptStates(const std::string& path, const model::Model& model);
  // InputError unless the states are of a model with that checksum.
  void check_model(const std::string& sha256) const;

  const output::Reader& file() const { return reader_; }
  // After all of the document, which must be done. Several threads may call it; nothing else may use HDF5 meanwhile.
  std::unique_ptr<model::State> read(Index document) const;

 private:
  template <class Value>
  void same(const char* what, const Value& theirs, const Value& ours) const;

  void computed_alike(const char* option, const std::string& theirs, const std::string& ours, const std::string& say) const;

  mutable std::mutex mutex_;
  output::Reader reader_;
  model::StateShape shape_;
  Device& device_;
};

}  // namespace riverrun::jobs
