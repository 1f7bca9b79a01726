#include "checkpoint/convert.h"

#include <cmath>

#include "checkpoint/safetensors_writer.h"
#include "core/buffer.h"
#include "core/error.h"

namespace riverrun::checkpoint {

namespace {

bool is_float(DType type) { return type == DType::f32 || type == DType::bf16 || type == DType::f16; }

// The elements of `stored`, row-major of type `from`, as `to`.
Buffer convert(const std::string& where, const Buffer& stored, DType from, DType to, Index size) {
  Buffer converted(size * size_of(to));
  for (Index i = 0; i < size; ++i) {
    const float value = load_float(stored.data(), from, i);
    store_float(converted.data(), to, i, value);
    RR_CHECK_INPUT(std::isfinite(load_float(converted.data(), to, i)) || !std::isfinite(value), where, ": element ", i, " is ",
                   value, ", which is too large for ", name_of(to), "; convert to another type");
  }
  return converted;
}

}  // namespace

void write_official(const Checkpoint& from, const std::string& path, std::optional<DType> dtype) {
  RR_CHECK_INPUT(!from.extras().embedding_normalized, from.path(),
                 ": blocks.0.ln0 has been applied to its embedding, which files with official names cannot say");
  std::vector<TensorSpec> specs;
  for (const auto& [name, tensor] : from.tensors()) {
    RR_CHECK_INPUT(is_float(tensor.dtype), from.path(), ": ", name, " has elements of type ", name_of(tensor.dtype),
                   ", not fp32, bf16 or fp16");
    specs.push_back({name, dtype.value_or(tensor.dtype), tensor.shape});
  }
  SafetensorsWriter writer(path, specs);
  for (const TensorSpec& spec : specs) {
    const Tensor& tensor = *from.find(spec.name);
    Buffer elements(tensor.size() * size_of(tensor.dtype));
    copy_elements(tensor, elements.data());
    from.release(tensor);
    if (spec.dtype != tensor.dtype) elements = convert(concat(from.path(), ": ", spec.name), elements, tensor.dtype, spec.dtype, tensor.size());
    writer.write(spec.name, {elements.data(), static_cast<std::size_t>(elements.bytes())});
  }
  writer.finish();
}

}  // namespace riverrun::checkpoint
