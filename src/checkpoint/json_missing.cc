// Stands in for the readers of JSON where nlohmann_json was not found.
#include "checkpoint/hub_folder.h"
#include "core/error.h"

namespace riverrun::checkpoint {
namespace {

[[noreturn]] void refuse(const std::string& path, const char* what) {
  throw Error(concat(path, " is ", what,
                     ", which this build cannot read; install nlohmann_json 3.11 or newer (Debian: "
                     "nlohmann-json3-dev), run cmake again and rebuild"));
}

}  // namespace

Contents read_safetensors(std::shared_ptr<const MappedFile> file) {
  refuse(file->path(), "a safetensors file");
}

Contents read_index(std::shared_ptr<const MappedFile> index) {
  refuse(index->path(), "an index of weight files");
}

Contents read_folder(const std::string& folder) { refuse(folder, "a folder"); }

}  // namespace riverrun::checkpoint
