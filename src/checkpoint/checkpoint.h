// Checkpoint: a weight file as named tensors, mapped into memory.
//
// Nothing is copied or converted here: a Tensor points into the file and keeps the file's element type. Names, shapes
// and orientation are those of the official .pth files, whatever the file calls them : a transposed
// matrix is one with swapped strides, a part of a fused tensor begins further into it. Everything a reader hands out has been checked against the bounds of
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

// How elements lie in the file: one after the other, or in ggml's blocks of few bits with a scale each.
enum class Encoding { plain, q4_0, q4_1, q5_0, q5_1, q8_0, q4_k, q5_k, q6_k };

// One tensor of a weight file. `data` points to element (0,...,0) inside the mapped file and need not be
// aligned for its type; strides are in elements, not negative, one per dimension. Several tensors may share
// the same bytes.
//
// An encoded tensor is f32 once decoded, and takes up `decoded` elements in the file, whatever part of them its
// strides reach; element 0 is that of its first block.
struct Tensor {
  std::string name;
  DType dtype = DType::f32;
  std::vector<Index> shape, strides;
  const std::byte* data = nullptr;
  Encoding encoding = Encoding::plain;
  Index decoded = 0;   // elements in the file's blocks; 0 for Encoding::plain
  float scale = 1.0f;  // a power of two that the stored elements are to be multiplied with

  Index size() const;       // elements; 1 for a scalar (empty shape)
  bool as_stored() const { return encoding == Encoding::plain && scale == 1.0f; }
  bool contiguous() const;  // row-major without gaps; dimensions of size 1 may have any stride
};

// "[2, 3]"
std::string shape_text(const std::vector<Index>& shape);

// Writes the elements of `tensor` to `to`, row-major without gaps, in the tensor's own type, decoded and scaled:
// tensor.size() * size_of(tensor.dtype) bytes. Takes any strides and alignment.
void copy_elements(const Tensor& tensor, void* to);

// What a file says beside its tensors.
struct Extras {
  std::string naming = "official";    // which names the file has: "official", "fla", "gguf rwkv7", ...
  bool embedding_normalized = false;  // blocks.0.ln0 has been applied to emb.weight already
  // A vocabulary inside the file (GGUF): the text of each id as GGUF writes it, escaped. Empty: none.
  std::vector<std::string> vocabulary;
  std::string vocabulary_kind;        // tokenizer.ggml.model: "rwkv"
};

// Thread-compatible. Tensors are valid as long as the Checkpoint is.
class Checkpoint {
 public:
  // For readers, which have checked every tensor: each lies inside one of `files`, filed under its name.
  Checkpoint(std::string path, std::string container, std::vector<std::shared_ptr<const MappedFile>> files,
             std::map<std::string, Tensor> tensors, Extras extras = {});

  const std::string& path() const { return path_; }
  const std::string& container() const { return container_; }  // "pth (zip)", "safetensors"
  const std::map<std::string, Tensor>& tensors() const { return tensors_; }
  const Extras& extras() const { return extras_; }
  std::vector<std::string> file_paths() const;  // all files it was read from, the weights' only

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
  Extras extras_;
};

// Opens a weight file, the index of a model cut into several, or a folder that holds one of these. Formats are
// recognised by first bytes, not by name, and names of tensors as naming.h says. InputError when something cannot
// be read, is of no known format or is damaged; Error when its format is not in this build.
std::unique_ptr<Checkpoint> open_checkpoint(const std::string& path);

}  // namespace riverrun::checkpoint
