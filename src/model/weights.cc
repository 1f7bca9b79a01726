#include "model/weights.h"

#include <vector>

#include "core/error.h"

namespace riverrun::model {

namespace {

void check_float(const checkpoint::Checkpoint& file, const checkpoint::Tensor& tensor) {
  RR_CHECK_INPUT(tensor.dtype == DType::f32 || tensor.dtype == DType::bf16 || tensor.dtype == DType::f16, file.path(), ": ",
                 tensor.name, " has elements of type ", name_of(tensor.dtype), ", not fp32, bf16 or fp16");
}

Index bytes_of(const checkpoint::Tensor& tensor) { return tensor.size() * size_of(tensor.dtype); }

// The elements, row-major, in the tensor's own type.
Buffer read_elements(const checkpoint::Checkpoint& file, const checkpoint::Tensor& tensor) {
  check_float(file, tensor);
  Buffer values(bytes_of(tensor));
  checkpoint::copy_elements(tensor, values.data());
  file.release(tensor);
  return values;
}

// Strides of the dimensions that are not 1: what is left of [1, 1, D] is one dimension.
std::vector<Index> real_strides(const checkpoint::Tensor& tensor) {
  std::vector<Index> strides;
  for (std::size_t i = 0; i < tensor.shape.size(); ++i) {
    if (tensor.shape[i] != 1) strides.push_back(tensor.strides[i]);
  }
  return strides;
}

// The strides of a tensor seen as [rows, cols], either of which may be 1 and thus gone from real_strides.
std::pair<Index, Index> matrix_strides(const checkpoint::Tensor& tensor, Index rows, Index cols) {
  const auto strides = real_strides(tensor);
  std::size_t next = 0;
  const Index row_stride = rows == 1 ? 0 : strides.at(next++);
  const Index col_stride = cols == 1 ? 1 : strides.at(next++);
  return {row_stride, col_stride};
}

}  // namespace

const checkpoint::Tensor& WeightLoader::require(const std::string& name, const std::vector<Index>& shape) {
  taken_.insert(name);
  return file_.require(name, shape);
}

void WeightLoader::check_all_taken() const {
  for (const auto& [name, tensor] : file_.tensors()) {
    RR_CHECK_INPUT(taken_.count(name) != 0, file_.path(), ": tensor ", name, " ", checkpoint::shape_text(tensor.shape),
                   " has no place in this model; if it changes what the model computes, this version cannot run it, and if"
                   " not, take it out of the file");
  }
}

Array<float> read_floats(const checkpoint::Checkpoint& file, const checkpoint::Tensor& tensor) {
  const Buffer stored = read_elements(file, tensor);
  Array<float> values(tensor.size());
  for (Index i = 0; i < values.size(); ++i) values[i] = load_float(stored.data(), tensor.dtype, i);
  return values;
}

Array<float> WeightLoader::vector(const std::string& name, const std::vector<Index>& shape) {
  return to_device(host_vector(name, shape));
}

Array<float> WeightLoader::to_device(Array<float> values) const {
  if (stream_.device->kind() == DeviceKind::cpu) return values;
  Array<float> there(values.size(), *stream_.device);
  stream_.device->copy(there.data(), values.data(), values.size() * Index{sizeof(float)}, stream_);
  return there;
}

Array<float> WeightLoader::host_vector(const std::string& name, const std::vector<Index>& shape) {
  Array<float> values = read_floats(file_, require(name, shape));
  bytes_ += values.size() * Index{sizeof(float)};
  return values;
}

std::unique_ptr<kernels::PackedMatrix> WeightLoader::pack(const checkpoint::Tensor& tensor, Index rows, Index cols,
                                                          Index row_stride, Index col_stride, DType weights) {
  check_float(file_, tensor);
  const auto pack_as = weights == DType::i8 ? kernels_.pack_int8 : kernels_.pack_matrix;
  auto packed = pack_as({tensor.data, tensor.dtype, rows, cols, row_stride, col_stride, &storage_}, operand_, stream_);
  bytes_ += packed->bytes();
  return packed;
}

// Packs straight from the file where its bytes are what is meant and aligned for their type, as they nearly always are.
std::unique_ptr<kernels::PackedMatrix> WeightLoader::pack_stored(const checkpoint::Tensor& tensor, Index stored_rows,
                                                                 Index stored_cols, bool transposed, DType weights) {
  auto [row_stride, col_stride] = matrix_strides(tensor, stored_rows, stored_cols);
  checkpoint::Tensor source = tensor;
  Buffer copy;
  if (storage_.filled()) {
    source.data = nullptr;
  } else if (!tensor.as_stored() || reinterpret_cast<std::uintptr_t>(tensor.data) % size_of(tensor.dtype) != 0) {
    copy = read_elements(file_, tensor);
    source.data = copy.data();
    row_stride = stored_cols, col_stride = 1;
  }
  auto packed = transposed ? pack(source, stored_cols, stored_rows, col_stride, row_stride, weights)
                           : pack(source, stored_rows, stored_cols, row_stride, col_stride, weights);
  file_.release(tensor);
  return packed;
}

std::unique_ptr<kernels::PackedMatrix> WeightLoader::matrix(const std::string& name, Index rows, Index cols) {
  return pack_stored(require(name, {rows, cols}), rows, cols, false, weights_);
}

std::unique_ptr<kernels::PackedMatrix> WeightLoader::small_matrix(const std::string& name, Index rows, Index cols) {
  return pack_stored(require(name, {rows, cols}), rows, cols, false, operand_);
}

std::unique_ptr<kernels::PackedMatrix> WeightLoader::transposed_matrix(const std::string& name, Index rows, Index cols) {
  return pack_stored(require(name, {cols, rows}), cols, rows, true, operand_);
}

std::vector<std::unique_ptr<kernels::PackedMatrix>> WeightLoader::transposed_matrices(const std::string& name, Index count,
                                                                                      Index rows, Index cols) {
  const checkpoint::Tensor& tensor = require(name, {count, cols, rows});
  const Buffer values = storage_.filled() ? Buffer() : read_elements(file_, tensor);
  checkpoint::Tensor slice = tensor;
  std::vector<std::unique_ptr<kernels::PackedMatrix>> matrices;
  for (Index i = 0; i < count; ++i) {
    slice.data = storage_.filled() ? nullptr : values.data() + i * rows * cols * size_of(tensor.dtype);
    matrices.push_back(pack(slice, rows, cols, 1, rows, operand_));
  }
  return matrices;
}

WeightMemory WeightLoader::table(const std::string& name, Index rows, Index cols, DType& type) {
  const checkpoint::Tensor& tensor = require(name, {rows, cols});
  type = tensor.dtype;
  check_float(file_, tensor);
  WeightMemory values;
  if (stream_.device->kind() == DeviceKind::cpu) {
    values = storage_.take(bytes_of(tensor), concat("table ", name_of(type), " ", rows, " x ", cols));
    if (!storage_.filled()) checkpoint::copy_elements(tensor, values.data());
    file_.release(tensor);
  } else {
    const Buffer elements = read_elements(file_, tensor);
    values = device_weights(elements.bytes(), *stream_.device);
    stream_.device->copy(values.data(), elements.data(), elements.bytes(), stream_);
  }
  bytes_ += values.bytes();
  return values;
}

}  // namespace riverrun::model
