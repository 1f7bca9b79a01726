// WeightStorage: where the memory of a model's packed matrices and tables comes from.
//
// A load asks for one piece after the other, always in the same order for the same model, backend and machine. That
// lets processes of one node share a copy: one of them fills the pieces, the others find them filled.
#pragma once

#include <memory>
#include <string>

#include "core/device.h"
#include "core/types.h"

namespace riverrun {

// One matrix or table: 64-byte aligned. Copies are the same memory, which lives as long as one of them.
class WeightMemory {
 public:
  WeightMemory() = default;
  WeightMemory(std::shared_ptr<std::byte> data, Index bytes) : data_(std::move(data)), bytes_(bytes) {}

  std::byte* data() const { return data_.get(); }
  Index bytes() const { return bytes_; }

 private:
  std::shared_ptr<std::byte> data_;
  Index bytes_ = 0;
};

class WeightStorage {
 public:
  virtual ~WeightStorage() = default;

  // Whether pieces hold their weights already: then nobody writes to them, and sources need not be read.
  virtual bool filled() const = 0;

  // The next piece, not initialised unless filled(). `layout` says in words all that decides what its bytes mean: where
  // pieces are shared, it must be the same for who fills a piece and who finds it filled. Error when there is no memory.
  virtual WeightMemory take(Index bytes, const std::string& layout) = 0;
};

// Memory of this process alone, of the host. Any number of threads may use it at once.
WeightStorage& private_weights();

// One piece of a device's own memory, which no storage shares.
WeightMemory device_weights(Index bytes, Device& device);

}  // namespace riverrun
