// Weights: from named tensors of a checkpoint to what the kernels take.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "core/buffer.h"
#include "kernels/table.h"

namespace riverrun::model {

// All elements as fp32, row-major. InputError when they are no floating-point numbers.
Array<float> read_floats(const checkpoint::Checkpoint& file, const checkpoint::Tensor& tensor);

// Takes tensors out of a checkpoint one after the other and gives their pages back, so that a load peaks near the
// size of what is kept. Where kernels run on the host, matrices and tables lie in `storage`; where that is filled, their
// tensors are not read. Else they lie in the device's own memory. Counts the
// bytes it hands out, and knows which tensors nobody asked for.
class WeightLoader {
 public:
  // Matrices are packed for operands of type `operand`; `weights` is the same, or i8: the large ones as integers.
  WeightLoader(const checkpoint::Checkpoint& file, const kernels::KernelTable& kernels, DType operand, DType weights, Stream stream,
               WeightStorage& storage)
      : file_(file), kernels_(kernels), operand_(operand), weights_(weights), stream_(stream), storage_(storage) {}

  // All elements as fp32, row-major; dimensions of size 1 do not count in the comparison of shapes. In the device's memory.
  Array<float> vector(const std::string& name, const std::vector<Index>& shape);
  // The same in the host's memory, to be changed there before it goes to_device.
  Array<float> host_vector(const std::string& name, const std::vector<Index>& shape);
  Array<float> to_device(Array<float> values) const;
  // W [rows, cols] stored as [out, in]: one of the large matrices.
  std::unique_ptr<kernels::PackedMatrix> matrix(const std::string& name, Index rows, Index cols);
  // The same, but never as integers, as the two below.
  std::unique_ptr<kernels::PackedMatrix> small_matrix(const std::string& name, Index rows, Index cols);
  // W [rows, cols] stored as [in, out], the other way round.
  std::unique_ptr<kernels::PackedMatrix> transposed_matrix(const std::string& name, Index rows, Index cols);
  // `count` of those, stored as [count, in, out].
  std::vector<std::unique_ptr<kernels::PackedMatrix>> transposed_matrices(const std::string& name, Index count, Index rows,
                                                                          Index cols);
  // A table [rows, cols] as it is stored: rows dense, in the file's element type.
  WeightMemory table(const std::string& name, Index rows, Index cols, DType& type);

  bool has(const std::string& name) const { return file_.find(name) != nullptr; }
  // The model has no use for this tensor, which the file may have.
  void ignore(const std::string& name) { taken_.insert(name); }
  // InputError when the file holds a tensor that was neither taken nor ignored: the model would not be the one that
  // was trained.
  void check_all_taken() const;

  Index bytes() const { return bytes_; }

 private:
  const checkpoint::Tensor& require(const std::string& name, const std::vector<Index>& shape);
  std::unique_ptr<kernels::PackedMatrix> pack_stored(const checkpoint::Tensor& tensor, Index stored_rows, Index stored_cols,
                                                     bool transposed, DType weights);
  std::unique_ptr<kernels::PackedMatrix> pack(const checkpoint::Tensor& tensor, Index rows, Index cols, Index row_stride,
                                              Index col_stride, DType weights);

  const checkpoint::Checkpoint& file_;
  const kernels::KernelTable& kernels_;
  DType operand_, weights_;
  Stream stream_;
  WeightStorage& storage_;
  Index bytes_ = 0;
  std::set<std::string> taken_;
};

}  // namespace riverrun::model
