// Writes a checkpoint, whatever it was read from, under the official names and in the official orientation.
#pragma once

#include <optional>
#include <string>

#include "checkpoint/checkpoint.h"

namespace riverrun::checkpoint {

// A .safetensors file with every tensor of `from` as `dtype` (f32, bf16 or f16), rounded to nearest. Without a dtype,
// tensors keep their element type; quantised ones, which decode to f32, are stored as such. One tensor is in memory at
// a time. InputError for a finite value that `dtype` cannot hold, naming the tensor, for tensors that are no
// floating-point numbers, and for a file whose embedding is normalized already (Extras); Error when a write fails.
void write_official(const Checkpoint& from, const std::string& path, std::optional<DType> dtype);

}  // namespace riverrun::checkpoint
