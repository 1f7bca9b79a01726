// .safetensors: the length of a header (8 bytes, little-endian), the header, a JSON object
// {"name": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [begin, end]}, ..., "__metadata__": {...}},
// then the tensors, row-major; offsets count from the end of the header.
// Source: README of huggingface/safetensors.
#include <cstring>

#include "checkpoint/bounded_json.h"
#include "checkpoint/formats.h"
#include "checkpoint/layout.h"
#include "core/error.h"

namespace riverrun::checkpoint {
namespace {

using nlohmann::json;

constexpr int kMaxDepth = 4;  // the header has three levels

struct NamedType {
  const char* name;
  DType dtype;
};
constexpr NamedType kTypes[] = {{"F64", DType::f64},     {"F32", DType::f32}, {"BF16", DType::bf16},
                                {"F16", DType::f16},     {"I64", DType::i64}, {"I32", DType::i32},
                                {"I16", DType::i16},     {"I8", DType::i8},   {"U8", DType::u8},
                                {"BOOL", DType::boolean}};

DType parse_type(const std::string& where, const std::string& name) {
  for (const NamedType& type : kTypes) {
    if (name == type.name) return type.dtype;
  }
  throw InputError(concat(where, " has element type ", name, ", which is not supported"));
}

// A number that is a whole one from 0 to what an Index holds.
Index parse_count(const std::string& where, const json& value) {
  RR_CHECK_INPUT(value.is_number_unsigned() && value.get<std::uint64_t>() <= std::uint64_t{INT64_MAX}, where,
                 " has a shape or data_offsets with something else than whole numbers from 0 up");
  return static_cast<Index>(value.get<std::uint64_t>());
}

Tensor make_tensor(const std::string& path, const std::string& name, const json& entry,
                   std::span<const std::byte> data) {
  const std::string where = concat(path, ": tensor ", name);
  const auto field = [&](const char* key, json::value_t type) -> const json& {
    const auto found = entry.is_object() ? entry.find(key) : entry.end();
    RR_CHECK_INPUT(found != entry.end() && found->type() == type, where, " has no proper \"", key, "\"");
    return *found;
  };
  Tensor tensor;
  tensor.name = name;
  tensor.dtype = parse_type(where, field("dtype", json::value_t::string).get<std::string>());
  const json& shape = field("shape", json::value_t::array);
  RR_CHECK_INPUT(shape.size() <= kMaxRank, where, " has ", shape.size(), " dimensions, more than ", kMaxRank);
  for (const json& dimension : shape) tensor.shape.push_back(parse_count(where, dimension));
  const json& offsets = field("data_offsets", json::value_t::array);
  RR_CHECK_INPUT(offsets.size() == 2, where, " has ", offsets.size(), " data_offsets, expected 2");
  const Index begin = parse_count(where, offsets[0]), end = parse_count(where, offsets[1]);
  RR_CHECK_INPUT(begin <= end && end <= static_cast<Index>(data.size()), where, " has data_offsets ", begin,
                 " to ", end, ", outside the ", data.size(),
                 " bytes of data; was the file downloaded completely?");
  const Index bytes = checked_size(where, tensor.shape) * size_of(tensor.dtype);
  RR_CHECK_INPUT(end - begin == bytes, where, " of shape ", shape_text(tensor.shape), " and type ",
                 name_of(tensor.dtype), " takes ", bytes, " bytes, but its data_offsets span ", end - begin);
  tensor.strides = dense_strides(tensor.shape);
  tensor.data = data.data() + begin;
  return tensor;
}

}  // namespace

Contents read_safetensors(std::shared_ptr<const MappedFile> file) {
  const std::string& path = file->path();
  const auto bytes = file->bytes();
  std::uint64_t length = 0;
  RR_CHECK_INPUT(bytes.size() >= sizeof length, path, " is too short for a safetensors file");
  std::memcpy(&length, bytes.data(), sizeof length);
  RR_CHECK_INPUT(length <= bytes.size() - sizeof length, path,
                 " ends inside its header; was it downloaded completely?");
  const json header = parse_json(path + ": its header", bytes.subspan(sizeof length, length), kMaxDepth);

  std::map<std::string, Tensor> tensors;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    tensors.emplace(name, make_tensor(path, name, entry, bytes.subspan(sizeof length + length)));
  }
  RR_CHECK_INPUT(!tensors.empty(), path, " holds no tensor");
  return {path, "safetensors", {file}, std::move(tensors)};
}

}  // namespace riverrun::checkpoint
