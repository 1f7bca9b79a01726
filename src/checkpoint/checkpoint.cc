#include "checkpoint/checkpoint.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <span>
#include <string_view>

#include "checkpoint/formats.h"
#include "checkpoint/ggml_blocks.h"
#include "checkpoint/hub_folder.h"
#include "checkpoint/naming.h"
#include "core/error.h"

namespace riverrun::checkpoint {
namespace {

static_assert(std::endian::native == std::endian::little,
              "weight files are little-endian and are used in place");

using Bytes = std::span<const std::byte>;

bool starts_with(Bytes bytes, std::string_view magic, std::size_t at = 0) {
  return bytes.size() >= at + magic.size() && std::memcmp(bytes.data() + at, magic.data(), magic.size()) == 0;
}

struct Format {
  const char* name;
  bool (*recognises)(Bytes file);
  Contents (*read)(std::shared_ptr<const MappedFile> file);
};

// The first that recognises the file reads it. A safetensors header of 640 bytes starts like a protocol 2
// pickle, and the count of 123 tensors in a GGUF file looks like the first brace of safetensors, so they are asked
// in this order.
constexpr Format kFormats[] = {
    {"pth (zip)", [](Bytes file) { return starts_with(file, "PK\x03\x04"); }, read_pth},
    {"gguf", [](Bytes file) { return starts_with(file, "GGUF"); }, read_gguf},
    {"safetensors", [](Bytes file) { return starts_with(file, "{", 8); }, read_safetensors},
    {"pth (legacy)", [](Bytes file) { return starts_with(file, kLegacyPthMagic); }, read_legacy_pth},
    {"index.json", [](Bytes file) { return starts_with(file, "{"); }, read_index},
    {"pickle", [](Bytes file) { return starts_with(file, "\x80"); }, refuse_bare_pickle},
};

// Whether the shapes are the same give or take dimensions of size 1; -1 is one dimension of any size.
bool same_shape(std::span<const Index> expected, std::span<const Index> found) {
  if (expected.empty() && found.empty()) return true;
  if (!expected.empty() && !found.empty() && (expected[0] == -1 || expected[0] == found[0]) &&
      same_shape(expected.subspan(1), found.subspan(1))) {
    return true;
  }
  if (!expected.empty() && expected[0] == 1 && same_shape(expected.subspan(1), found)) return true;
  return !found.empty() && found[0] == 1 && same_shape(expected, found.subspan(1));
}

bool lies_in(const MappedFile& file, const Tensor& tensor) {
  const Index bytes = bytes_in_file(tensor);
  const auto first = reinterpret_cast<std::uintptr_t>(tensor.data);
  const auto begin = reinterpret_cast<std::uintptr_t>(file.bytes().data());
  const auto room = static_cast<std::uintptr_t>(file.bytes().size());
  return first >= begin && first - begin <= room &&
         static_cast<std::uintptr_t>(bytes) <= room - (first - begin);
}

template <std::size_t kBytes>
void copy_strided(const Tensor& tensor, std::size_t d, const std::byte* from, std::byte*& to) {
  if (d == tensor.shape.size()) {
    std::memcpy(to, from, kBytes);
    to += kBytes;
    return;
  }
  for (Index i = 0; i < tensor.shape[d]; ++i) {
    copy_strided<kBytes>(tensor, d + 1, from + i * tensor.strides[d] * static_cast<Index>(kBytes), to);
  }
}

void copy_plain(const Tensor& tensor, void* to) {
  const Index size = tensor.size();
  if (size == 0) return;
  if (tensor.contiguous()) {
    std::memcpy(to, tensor.data, static_cast<std::size_t>(size * size_of(tensor.dtype)));
    return;
  }
  auto* out = static_cast<std::byte*>(to);
  switch (size_of(tensor.dtype)) {
    case 8:
      return copy_strided<8>(tensor, 0, tensor.data, out);
    case 4:
      return copy_strided<4>(tensor, 0, tensor.data, out);
    case 2:
      return copy_strided<2>(tensor, 0, tensor.data, out);
    default:
      return copy_strided<1>(tensor, 0, tensor.data, out);
  }
}

// Exact, as the scale is a power of two; a finite element that would not stay finite is an error.
void scale_elements(const Tensor& tensor, void* to) {
  for (Index i = 0; i < tensor.size(); ++i) {
    const float stored = load_float(to, tensor.dtype, i);
    store_float(to, tensor.dtype, i, stored * tensor.scale);
    RR_CHECK_INPUT(!std::isfinite(stored) || std::isfinite(load_float(to, tensor.dtype, i)), "tensor ",
                   tensor.name, ": ", stored, " times ", tensor.scale, " is too large for ",
                   name_of(tensor.dtype), "; the file rescales it, but holds it unscaled");
  }
}

bool can_be_scaled(const Tensor& tensor) {
  int exponent = 0;
  return (tensor.dtype == DType::f32 || tensor.dtype == DType::bf16 || tensor.dtype == DType::f16) &&
         std::isfinite(tensor.scale) && std::frexp(tensor.scale, &exponent) == 0.5f;
}

}  // namespace

Index Tensor::size() const {
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return 0;
  Index size = 1;
  for (const Index n : shape) size *= n;
  return size;
}

bool Tensor::contiguous() const {
  if (size() == 0) return true;
  Index dense = 1;
  for (std::size_t d = shape.size(); d-- > 0;) {
    if (shape[d] != 1 && strides[d] != dense) return false;
    dense *= shape[d];
  }
  return true;
}

std::string shape_text(const std::vector<Index>& shape) {
  std::string text = "[";
  for (const Index n : shape) text += concat(text.size() > 1 ? ", " : "", n);
  return text + "]";
}

void copy_elements(const Tensor& tensor, void* to) {
  if (tensor.encoding == Encoding::plain) {
    copy_plain(tensor, to);
  } else {
    decode_elements(tensor, static_cast<float*>(to));
  }
  if (tensor.scale != 1.0f) scale_elements(tensor, to);
}

Checkpoint::Checkpoint(std::string path, std::string container,
                       std::vector<std::shared_ptr<const MappedFile>> files,
                       std::map<std::string, Tensor> tensors, Extras extras)
    : path_(std::move(path)),
      container_(std::move(container)),
      files_(std::move(files)),
      tensors_(std::move(tensors)),
      extras_(std::move(extras)) {
  for (const auto& [name, tensor] : tensors_) {
    RR_CHECK(name == tensor.name, "tensor ", tensor.name, " of ", path_, " is filed as ", name);
    RR_CHECK(tensor.scale == 1.0f || can_be_scaled(tensor), "tensor ", name, " of type ",
             name_of(tensor.dtype), " with scale ", tensor.scale);
    RR_CHECK(
        std::any_of(files_.begin(), files_.end(), [&, &tensor = tensor](const auto& file) { return lies_in(*file, tensor); }),
        "tensor ", name, " lies outside ", path_);
  }
}

std::vector<std::string> Checkpoint::file_paths() const {
  std::vector<std::string> paths;
  for (const auto& file : files_) paths.push_back(file->path());
  return paths;
}

const Tensor* Checkpoint::find(const std::string& name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

const Tensor& Checkpoint::require(const std::string& name, const std::vector<Index>& shape) const {
  const Tensor* const tensor = find(name);
  RR_CHECK_INPUT(tensor, path_, ": there is no tensor ", name, " (expected with shape ", shape_text(shape),
                 ")");
  RR_CHECK_INPUT(same_shape(shape, tensor->shape), path_, ": tensor ", name, " has shape ",
                 shape_text(tensor->shape), ", expected ", shape_text(shape),
                 std::find(shape.begin(), shape.end(), -1) != shape.end() ? " (-1: any)" : "");
  return *tensor;
}

void Checkpoint::release(const Tensor& tensor) const {
  const Index bytes = bytes_in_file(tensor);
  for (const auto& file : files_) {
    if (lies_in(*file, tensor)) file->release(tensor.data, static_cast<std::size_t>(bytes));
  }
}

Contents read_weight_file(const std::string& path, bool index_allowed) {
  auto file = std::make_shared<const MappedFile>(path);
  for (const Format& format : kFormats) {
    if (!format.recognises(file->bytes())) continue;
    RR_CHECK_INPUT(index_allowed || format.read != read_index, path, " is an index, expected a file of weights");
    return format.read(std::move(file));
  }
  std::string known;
  for (const Format& format : kFormats) known += (known.empty() ? "" : ", ") + std::string(format.name);
  throw InputError(concat(path, " (", file->bytes().size(), " bytes) is no weight file of a known format (",
                          known, "); was it downloaded completely?"));
}

std::unique_ptr<Checkpoint> open_checkpoint(const std::string& path) {
  std::error_code none;  // what cannot be looked at is opened as a file, which says why it fails
  return name_tensors(std::filesystem::is_directory(path, none) ? read_folder(path) : read_weight_file(path));
}

}  // namespace riverrun::checkpoint
