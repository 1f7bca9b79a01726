// Stands in for safetensors.cc where nlohmann_json was not found.
#include "checkpoint/formats.h"
#include "core/error.h"

namespace riverrun::checkpoint {

Contents read_safetensors(std::shared_ptr<const MappedFile> file) {
  throw Error(concat(file->path(),
                     " is a safetensors file, which this build cannot read; install nlohmann_json 3.11 "
                     "or newer (Debian: nlohmann-json3-dev), run cmake again and rebuild"));
}

}  // namespace riverrun::checkpoint
