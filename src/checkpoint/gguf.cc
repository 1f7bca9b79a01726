// .gguf, versions 2 and 3, little-endian: "GGUF", version, number of tensors, number of metadata pairs; the
// pairs; per tensor its name, dimensions (fastest first), element type and offset; then, aligned, the
// tensors, to whose begin the offsets count. Source: docs/gguf.md of ggml-org/ggml.
#include <algorithm>
#include <cmath>

#include "checkpoint/formats.h"
#include "checkpoint/ggml_blocks.h"
#include "checkpoint/gguf_metadata.h"
#include "checkpoint/layout.h"

namespace riverrun::checkpoint {
namespace {

constexpr std::uint32_t kMostDimensions = 4;
constexpr double kNormEpsilon = 1e-5;  // of every LayerNorm in every RWKV model

struct ElementType {
  std::uint32_t id;
  const char* name;
  Encoding encoding;
  DType dtype;  // once decoded
};
constexpr ElementType kTypes[] = {
    {0, "F32", Encoding::plain, DType::f32},    {1, "F16", Encoding::plain, DType::f16},
    {30, "BF16", Encoding::plain, DType::bf16}, {2, "Q4_0", Encoding::q4_0, DType::f32},
    {3, "Q4_1", Encoding::q4_1, DType::f32},    {6, "Q5_0", Encoding::q5_0, DType::f32},
    {7, "Q5_1", Encoding::q5_1, DType::f32},    {8, "Q8_0", Encoding::q8_0, DType::f32},
    {12, "Q4_K", Encoding::q4_k, DType::f32},   {13, "Q5_K", Encoding::q5_k, DType::f32},
    {14, "Q6_K", Encoding::q6_k, DType::f32},   {24, "I8", Encoding::plain, DType::i8},
    {25, "I16", Encoding::plain, DType::i16},   {26, "I32", Encoding::plain, DType::i32},
    {27, "I64", Encoding::plain, DType::i64},   {28, "F64", Encoding::plain, DType::f64},
};

// Types that exist and are not read, for a message that names them.
struct OtherType {
  std::uint32_t id;
  const char* name;
};
constexpr OtherType kOtherTypes[] = {
    {9, "Q8_1"},     {10, "Q2_K"},  {11, "Q3_K"},   {15, "Q8_K"},  {16, "IQ2_XXS"}, {17, "IQ2_XS"},
    {18, "IQ3_XXS"}, {19, "IQ1_S"}, {20, "IQ4_NL"}, {21, "IQ3_S"}, {22, "IQ2_S"},   {23, "IQ4_XS"},
    {29, "IQ1_M"},   {34, "TQ1_0"}, {35, "TQ2_0"},  {39, "MXFP4"}, {40, "NVFP4"},   {41, "Q1_0"},
};

const ElementType& find_type(const std::string& where, std::uint32_t id) {
  std::string known, name = concat("number ", id);
  for (const ElementType& type : kTypes) {
    if (type.id == id) return type;
    if (type.dtype != DType::f64 && size_of(type.dtype) >= 2)
      known += (known.empty() ? "" : ", ") + std::string(type.name);
  }
  for (const OtherType& type : kOtherTypes) {
    if (type.id == id) name = type.name;
  }
  throw InputError(
      concat(where, " has the element type ", name, ", which is not supported; supported are ", known));
}

void check_version(const std::string& path, std::uint32_t version) {
  RR_CHECK_INPUT((version & 0xffff) != 0, path,
                 " is a big-endian GGUF file, which is not supported; convert it to little-endian");
  RR_CHECK_INPUT(version == 2 || version == 3, path, " is a GGUF file of version ", version,
                 "; supported are 2 and 3; convert the model again with a current llama.cpp");
}

// What is known of architectures that look like RWKV; whatever is not in GGUF's list is not RWKV at all.
void check_architecture(const std::string& path, const std::string& name) {
  if (name == "rwkv6" || name == "rwkv7") return;
  const char* reason = "which is no RWKV model";
  if (name == "rwkv6qwen2") {
    reason =
        "RWKV-6 mixing inside a Qwen2 model (RMSNorm, SwiGLU feed-forward, grouped keys and values), which "
        "riverrun does not compute";
  } else if (name == "arwkv7") {
    reason =
        "RWKV-7 mixing inside a transformer (RMSNorm, SwiGLU feed-forward), which riverrun does not compute";
  }
  throw InputError(concat(path, " is a GGUF file of architecture \"", name, "\", ", reason,
                          "; supported are rwkv6 and rwkv7"));
}

Index alignment_of(const std::string& path, const GgufMetadata& metadata) {
  const Index alignment = metadata.whole("general.alignment").value_or(32);
  RR_CHECK_INPUT(alignment > 0 && (alignment & (alignment - 1)) == 0 && alignment <= Index{1} << 30, path,
                 ": general.alignment is ", alignment, ", not a power of two up to 2^30");
  return alignment;
}

// Facts and Extras; refuses what would be computed wrongly.
void read_facts(const std::string& path, const GgufMetadata& metadata, Contents& contents) {
  contents.facts.architecture = metadata.text("general.architecture").value_or("");
  const std::string& name = contents.facts.architecture;
  check_architecture(path, name);
  const Index parts = metadata.whole("split.count").value_or(1);
  RR_CHECK_INPUT(parts <= 1, path, " is one of ", parts,
                 " parts of a model; join them with llama-gguf-split --merge");
  const double epsilon = metadata.real(name + ".attention.layer_norm_epsilon").value_or(kNormEpsilon);
  RR_CHECK_INPUT(std::abs(epsilon - kNormEpsilon) <= 1e-3 * kNormEpsilon, path, " has ", epsilon,
                 " as attention.layer_norm_epsilon; RWKV models are computed with ", kNormEpsilon);
  contents.facts.head_size = metadata.whole(name + ".wkv.head_size").value_or(0);
  contents.facts.rescale_every = metadata.whole(name + ".rescale_every_n_layers").value_or(0);
  contents.extras.vocabulary = metadata.texts("tokenizer.ggml.tokens");
  contents.extras.vocabulary_kind = metadata.text("tokenizer.ggml.model").value_or("");
}

// Offset and size inside the data.
struct Extent {
  Index begin, end;
  std::string name;
};

struct TensorInfo {
  Tensor tensor;  // all but where its data begin
  Extent extent;
};

TensorInfo read_tensor_info(ByteCursor& cursor, Index alignment) {
  TensorInfo info;
  Tensor& tensor = info.tensor;
  tensor.name = cursor.text("the name of a tensor");
  const std::string where = concat(cursor.path(), ": tensor ", tensor.name);
  const auto rank = cursor.number<std::uint32_t>(where);
  RR_CHECK_INPUT(rank <= kMostDimensions, where, " has ", rank, " dimensions, more than ", kMostDimensions);
  for (std::uint32_t d = 0; d < rank; ++d) {
    const auto size = cursor.number<std::uint64_t>(where);
    RR_CHECK_INPUT(size > 0 && size <= std::uint64_t{INT64_MAX}, where, " has a dimension of ", size,
                   " elements");
    tensor.shape.insert(tensor.shape.begin(), static_cast<Index>(size));
  }
  const ElementType& type = find_type(where, cursor.number<std::uint32_t>(where));
  const auto offset = cursor.number<std::uint64_t>(where);
  tensor.dtype = type.dtype, tensor.encoding = type.encoding;
  tensor.strides = dense_strides(tensor.shape);
  const Index size = checked_size(where, tensor.shape);
  if (type.encoding != Encoding::plain) {
    const Index block = block_layout(type.encoding).elements,
                row = tensor.shape.empty() ? 1 : tensor.shape.back();
    RR_CHECK_INPUT(row % block == 0, where, " of type ", type.name, " has rows of ", row,
                   " elements, not whole blocks of ", block);
    tensor.decoded = size;
  }
  RR_CHECK_INPUT(offset <= std::uint64_t{INT64_MAX} && static_cast<Index>(offset) % alignment == 0, where,
                 " begins at ", offset, ", which is not a multiple of the alignment of ", alignment);
  const Index bytes = bytes_in_file(tensor);
  RR_CHECK_INPUT(bytes <= INT64_MAX - static_cast<Index>(offset), where, " ends beyond any file");
  info.extent = {static_cast<Index>(offset), static_cast<Index>(offset) + bytes, tensor.name};
  return info;
}

void check_overlaps(const std::string& path, std::vector<Extent> extents) {
  std::sort(extents.begin(), extents.end(),
            [](const Extent& a, const Extent& b) { return a.begin < b.begin; });
  for (std::size_t i = 1; i < extents.size(); ++i) {
    RR_CHECK_INPUT(extents[i - 1].end <= extents[i].begin, path, ": the tensors ", extents[i - 1].name,
                   " and ", extents[i].name, " overlap; the file is damaged");
  }
}

std::map<std::string, Tensor> read_tensors(ByteCursor& cursor, std::uint64_t count, Index alignment,
                                           std::span<const std::byte> file) {
  const std::string& path = cursor.path();
  std::vector<TensorInfo> infos;
  std::vector<Extent> extents;
  cursor.expect(count, 8 + 4 + 4 + 8, "the list of tensors");  // name, rank, type, offset
  for (std::uint64_t i = 0; i < count; ++i) {
    infos.push_back(read_tensor_info(cursor, alignment));
    extents.push_back(infos.back().extent);
  }
  check_overlaps(path, std::move(extents));
  const auto step = static_cast<std::size_t>(alignment);
  const std::size_t begin = (cursor.position() + step - 1) / step * step;
  const Index room = begin <= file.size() ? static_cast<Index>(file.size() - begin) : 0;
  std::map<std::string, Tensor> tensors;
  for (TensorInfo& info : infos) {
    const std::string& name = info.extent.name;
    RR_CHECK_INPUT(info.extent.end <= room, path, ": tensor ", name, " takes up bytes ", info.extent.begin,
                   " to ", info.extent.end, " of the data, of which there are ", room,
                   "; was the file downloaded completely?");
    info.tensor.data = file.data() + begin + info.extent.begin;
    RR_CHECK_INPUT(tensors.emplace(name, std::move(info.tensor)).second, path, " holds two tensors named ",
                   name);
  }
  return tensors;
}

}  // namespace

Contents read_gguf(std::shared_ptr<const MappedFile> file) {
  Contents contents;
  contents.path = file->path(), contents.container = "gguf";
  ByteCursor cursor(file->path(), file->bytes());
  cursor.skip(4, 1, "the magic number");
  check_version(file->path(), cursor.number<std::uint32_t>("the version"));
  const auto tensors = cursor.number<std::uint64_t>("the number of tensors");
  const auto pairs = cursor.number<std::uint64_t>("the number of metadata keys");
  const GgufMetadata metadata(cursor, pairs);
  read_facts(file->path(), metadata, contents);
  contents.tensors = read_tensors(cursor, tensors, alignment_of(file->path(), metadata), file->bytes());
  RR_CHECK_INPUT(!contents.tensors.empty(), file->path(), " holds no tensor");
  contents.files = {std::move(file)};
  return contents;
}

}  // namespace riverrun::checkpoint
