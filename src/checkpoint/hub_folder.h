// Models in several files: a folder as it lies on the Hugging Face Hub, and the index of a model cut into
// shards,
// {"metadata": {...}, "weight_map": {"tensor": "model-00001-of-00002.safetensors", ...}}.
#pragma once

#include <memory>
#include <string>

#include "checkpoint/formats.h"

namespace riverrun::checkpoint {

// The model that an index describes. Its files are plain names in the folder of the index. InputError, naming
// them, for files that are missing, and for tensors that index and files do not agree on.
Contents read_index(std::shared_ptr<const MappedFile> index);

// The one weight file, or index, in a folder; InputError with a list when there are several. Of config.json
// only what tensors cannot say is used: whether the embedding is stored normalized.
Contents read_folder(const std::string& folder);

}  // namespace riverrun::checkpoint
