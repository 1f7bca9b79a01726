#include "checkpoint/hub_folder.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <set>

#include "checkpoint/bounded_json.h"
#include "core/error.h"

namespace riverrun::checkpoint {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int kIndexDepth = 4, kConfigDepth = 16;
constexpr const char* kIndexEnd = ".index.json";

// tensor -> file
std::map<std::string, std::string> read_weight_map(const MappedFile& index) {
  const json text = parse_json(index.path(), index.bytes(), kIndexDepth);
  const auto found = text.find("weight_map");
  RR_CHECK_INPUT(
      found != text.end() && found->is_object() && !found->empty(), index.path(),
      " is a JSON file without a weight_map, so it is no index of weight files; give the weight file "
      "or the folder it lies in");
  std::map<std::string, std::string> map;
  for (const auto& [tensor, value] : found->items()) {
    RR_CHECK_INPUT(value.is_string(), index.path(), ": its weight_map has no file name for ", tensor);
    const auto& file = value.get_ref<const std::string&>();
    RR_CHECK_INPUT(
        !file.empty() && file[0] != '.' && file.find_first_of(std::string_view("/\\\0", 3)) == file.npos,
        index.path(), ": its weight_map has no plain name of a file beside it for ", tensor, ", but \"", file,
        "\"");
    map.emplace(tensor, file);
  }
  return map;
}

std::set<std::string> shards_of(const std::map<std::string, std::string>& weight_map) {
  std::set<std::string> shards;
  for (const auto& [tensor, file] : weight_map) shards.insert(file);
  return shards;
}

void check_all_there(const MappedFile& index, const fs::path& folder, const std::set<std::string>& shards) {
  std::string missing;
  for (const std::string& shard : shards) {
    if (!fs::is_regular_file(folder / shard)) missing += (missing.empty() ? "" : ", ") + shard;
  }
  RR_CHECK_INPUT(missing.empty(), index.path(), ": these of its ", shards.size(),
                 " files are missing beside it: ", missing, "; was the model downloaded completely?");
}

bool is_weight_file(const std::string& name) {
  for (const char* const end : {".safetensors", ".st", ".pth", ".pt", ".gguf"}) {
    if (name.ends_with(end)) return true;
  }
  return name == "pytorch_model.bin";
}

// The one file or index in the folder that holds a model. Files that an index lists belong to it.
std::string find_model(const std::string& folder) {
  std::set<std::string> candidates, shards;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with('.') || !entry.is_regular_file()) continue;
    if (is_weight_file(name)) candidates.insert(name);
    if (!name.ends_with(kIndexEnd)) continue;
    candidates.insert(name);
    shards.merge(shards_of(read_weight_map(MappedFile(entry.path().string()))));
  }
  for (const std::string& shard : shards) candidates.erase(shard);
  std::string list;
  for (const std::string& name : candidates) list += (list.empty() ? "" : ", ") + name;
  RR_CHECK_INPUT(!candidates.empty(), folder,
                 " is a folder without a weight file (.safetensors, its .index.json, .pth, .gguf)");
  RR_CHECK_INPUT(candidates.size() == 1, folder, " is a folder with several weight files: ", list,
                 "; give the path of the one that is meant");
  return *candidates.begin();
}

// Nothing but what names and shapes cannot say.
void read_config(const fs::path& path, Facts& facts) {
  if (!fs::is_regular_file(path)) return;
  const MappedFile file(path.string());
  const json config = parse_json(file.path(), file.bytes(), kConfigDepth);
  const auto fused = config.find("embedding_layer_norm_fused");
  if (fused == config.end() || fused->is_null()) return;
  RR_CHECK_INPUT(fused->is_boolean(), file.path(), ": embedding_layer_norm_fused is neither true nor false");
  facts.embedding_normalized = fused->get<bool>();
}

}  // namespace

Contents read_index(std::shared_ptr<const MappedFile> index) {
  const auto weight_map = read_weight_map(*index);
  const auto shards = shards_of(weight_map);
  const fs::path folder = fs::path(index->path()).parent_path();
  check_all_there(*index, folder, shards);
  Contents all{index->path(), {}, {}, {}, {}, {}};
  for (const std::string& shard : shards) {
    Contents part = read_weight_file((folder / shard).string(), /*index_allowed=*/false);
    for (auto& [name, tensor] : part.tensors) {
      const auto place = weight_map.find(name);
      RR_CHECK_INPUT(place != weight_map.end(), part.path, " holds ", name, ", which ", index->path(),
                     " does not list");
      RR_CHECK_INPUT(place->second == shard, part.path, " holds ", name, ", which ", index->path(),
                     " places in ", place->second);
      all.tensors.emplace(name, std::move(tensor));
    }
    all.container = concat(part.container, ", ", shards.size(), shards.size() == 1 ? " file" : " files");
    all.files.insert(all.files.end(), part.files.begin(), part.files.end());
  }
  for (const auto& [name, shard] : weight_map) {
    RR_CHECK_INPUT(all.tensors.contains(name), index->path(), " places ", name, " in ", shard,
                   ", which does not hold it; index and files are not of the same model");
  }
  read_config(folder / "config.json", all.facts);
  return all;
}

Contents read_folder(const std::string& folder) {
  try {
    Contents contents = read_weight_file((fs::path(folder) / find_model(folder)).string());
    contents.path = folder;
    read_config(fs::path(folder) / "config.json", contents.facts);
    return contents;
  } catch (const fs::filesystem_error& error) {
    throw InputError(concat("cannot read folder ", folder, ": ", error.code().message()));
  }
}

}  // namespace riverrun::checkpoint
