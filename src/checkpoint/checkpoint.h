// Checkpoint: a weight file as named tensors, mapped into memory.
//
// Nothing is copied or converted here: a Tensor points into the file and keeps the file's element type, shape
// and strides. Names are the file's own. Everything a reader hands out has been checked against the bounds of
// the file: a damaged or hostile one ends in an InputError that names it, never in a read outside it.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/mapped_file.h"
#include "core/types.h"

namespace riverrun::checkpoint {

// One tensor of a weight file. `data` points to element (0,...,0) inside the mapped file and need not be
// aligned for its type; strides are in elements, not negative, one per dimension. Several tensors may share
// the same bytes.
struct Tensor {
  std::string name;
  DType dtype = DType::f32;
  std::vector<Index> shape, strides;
  const std::byte* data = nullptr;

  Index size() const;       // elements; 1 for a scalar (empty shape)
  bool contiguous() const;  // row-major without gaps; dimensions of size 1 may have any stride
};

// "[2, 3]"
std::string shape_text(const std::vector<Index>& shape);

// Writes the elements of `tensor` to `to`, row-major without gaps, in the tensor's own type:
// tensor.size() * size_of(tensor.dtype) bytes. Takes any strides and alignment.
void copy_elements(const Tensor& tensor, void* to);

// Thread-compatible. Tensors are valid as long as the Checkpoint is.
class Checkpoint {
 public:
  // For readers, which have checked every tensor: each lies inside one of `files`, filed under its name.
  Checkpoint(std::string path, std::string container, std::vector<std::shared_ptr<const MappedFile>> files,
             std::map<std::string, Tensor> tensors);

  const std::string& path() const { return path_; }
  const std::string& container() const { return container_; }  // "pth (zip)", "safetensors"
  const std::map<std::string, Tensor>& tensors() const { return tensors_; }

  const Tensor* find(const std::string& name) const;  // null when there is none of that name

  // The tensor, or an InputError that names file, tensor, and the shape expected and found. -1 in `shape`
  // stands for one dimension of any size. Otherwise dimensions of size 1 do not count: [1, 1, D] is [D].
  const Tensor& require(const std::string& name, const std::vector<Index>& shape) const;

  // Gives the tensor's pages back to the system once it has been copied; they come back when touched again.
  void release(const Tensor& tensor) const;

 private:
  std::string path_, container_;
  std::vector<std::shared_ptr<const MappedFile>> files_;
  std::map<std::string, Tensor> tensors_;
};

// Opens a weight file; its format is recognised by its first bytes, not by its name. InputError when the file
// cannot be read, is of no known format or is damaged; Error when its format is not in this build.
std::unique_ptr<Checkpoint> open_checkpoint(const std::string& path);

}  // namespace riverrun::checkpoint
