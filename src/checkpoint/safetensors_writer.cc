#include "checkpoint/safetensors_writer.h"

#include <unistd.h>

#include <algorithm>
#include <set>

#include "checkpoint/layout.h"
#include "core/error.h"

namespace riverrun::checkpoint {
namespace {

const char* format_name(DType type) {
  constexpr const char* kNames[] = {"F64", "F32", "BF16", "F16", "I64", "I32", "I16", "I8", "U8", "BOOL"};
  return kNames[static_cast<int>(type)];
}

Index bytes_of(const TensorSpec& tensor) {
  return checked_size("tensor " + tensor.name, tensor.shape) * size_of(tensor.dtype);
}

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", c);
      out += escape;
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string make_header(const std::vector<TensorSpec>& tensors) {
  std::set<std::string> names;
  std::string header = "{";
  Index offset = 0;
  for (const TensorSpec& tensor : tensors) {
    RR_CHECK(tensor.name != "__metadata__" && names.insert(tensor.name).second, "tensor name ", tensor.name,
             " is taken");
    std::string shape;
    for (const Index n : tensor.shape) shape += concat(shape.empty() ? "" : ",", n);
    Index end = 0;
    RR_CHECK_INPUT(!__builtin_add_overflow(offset, bytes_of(tensor), &end), "tensor ", tensor.name,
                   " makes the file too large");
    header +=
        concat(header.size() > 1 ? "," : "", quoted(tensor.name), ":{\"dtype\":\"", format_name(tensor.dtype),
               "\",\"shape\":[", shape, "],\"data_offsets\":[", offset, ",", end, "]}");
    offset = end;
  }
  header += "}";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  return header;
}

}  // namespace

SafetensorsWriter::SafetensorsWriter(std::string path, std::vector<TensorSpec> tensors)
    : path_(std::move(path)), partial_(path_ + ".tmp"), tensors_(std::move(tensors)) {
  const std::string header = make_header(tensors_);
  const std::uint64_t length = header.size();
  file_ = std::fopen(partial_.c_str(), "wb");
  if (!file_) throw InputError(with_errno("cannot create " + partial_));
  try {
    put(&length, sizeof length);
    put(header.data(), header.size());
  } catch (...) {
    std::fclose(file_);
    ::unlink(partial_.c_str());
    throw;
  }
  left_ = tensors_.empty() ? 0 : bytes_of(tensors_[0]);
  skip_complete();
}

SafetensorsWriter::~SafetensorsWriter() {
  if (!file_) return;
  std::fclose(file_);  // given up: what could not be written no longer matters
  ::unlink(partial_.c_str());
}

void SafetensorsWriter::write(const std::string& name, std::span<const std::byte> bytes) {
  RR_CHECK(file_, path_, " is already finished");
  if (bytes.empty()) return;
  RR_CHECK(turn_ < tensors_.size(), "tensor ", name, " is written to ", path_, ", which is complete");
  RR_CHECK(name == tensors_[turn_].name, "tensor ", name, " is written to ", path_,
           ", where it is the turn of ", tensors_[turn_].name);
  RR_CHECK(static_cast<Index>(bytes.size()) <= left_, bytes.size(), " bytes are written to tensor ", name,
           " of ", path_, ", which lacks ", left_);
  put(bytes.data(), bytes.size());
  left_ -= static_cast<Index>(bytes.size());
  skip_complete();
}

void SafetensorsWriter::finish() {
  RR_CHECK(file_, path_, " is already finished");
  RR_CHECK(turn_ == tensors_.size(), path_, " is not complete: tensor ", tensors_[turn_].name, " lacks ",
           left_, " bytes");
  if (std::fflush(file_) != 0 || ::fsync(::fileno(file_)) != 0)
    throw Error(with_errno("cannot write " + partial_));
  const int closed = std::fclose(file_);
  file_ = nullptr;
  if (closed != 0 || std::rename(partial_.c_str(), path_.c_str()) != 0) {
    const std::string message = with_errno(concat("cannot finish ", partial_, " as ", path_));
    ::unlink(partial_.c_str());
    throw Error(message);
  }
}

void SafetensorsWriter::put(const void* data, std::size_t size) {
  if (std::fwrite(data, 1, size, file_) != size) throw Error(with_errno("cannot write " + partial_));
}

void SafetensorsWriter::skip_complete() {
  while (left_ == 0 && turn_ < tensors_.size()) {
    if (++turn_ < tensors_.size()) left_ = bytes_of(tensors_[turn_]);
  }
}

}  // namespace riverrun::checkpoint
