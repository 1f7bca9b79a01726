// SafetensorsWriter: streams tensors into a .safetensors file.
//
//   SafetensorsWriter writer("model.safetensors", {{"emb.weight", DType::bf16, {65536, 768}}, ...});
//   writer.write("emb.weight", bytes);  // in pieces of any size, tensors in the order given
//   writer.finish();
#pragma once

#include <cstdio>
#include <span>
#include <string>
#include <vector>

#include "core/types.h"

namespace riverrun::checkpoint {

struct TensorSpec {
  std::string name;
  DType dtype = DType::f32;
  std::vector<Index> shape;
};

// Not thread-safe. The file is written beside its place as `path`.tmp and renamed by finish(), so that `path`
// is never a part of a model; a writer that is destroyed before that removes its .tmp. Data begins at a
// multiple of 8. Throws Error, with the system's reason, when a write fails; InputError for a shape that no
// file can hold.
class SafetensorsWriter {
 public:
  SafetensorsWriter(std::string path, std::vector<TensorSpec> tensors);
  ~SafetensorsWriter();
  SafetensorsWriter(const SafetensorsWriter&) = delete;
  SafetensorsWriter& operator=(const SafetensorsWriter&) = delete;

  // The next bytes of tensor `name`, row-major, little-endian. It must be the tensor whose turn it is (empty
  // tensors have none), and the bytes may not reach beyond its end.
  void write(const std::string& name, std::span<const std::byte> bytes);

  // Once all tensors are complete: writes the file through to the disk and gives it its name.
  void finish();

 private:
  void put(const void* data, std::size_t size);
  void skip_complete();

  std::string path_, partial_;
  std::vector<TensorSpec> tensors_;
  std::FILE* file_ = nullptr;
  std::size_t turn_ = 0;  // the tensor being written
  Index left_ = 0;        // bytes still to come of it
};

}  // namespace riverrun::checkpoint
