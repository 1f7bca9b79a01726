#include "text/tokenizer.h"

#include <cstdlib>
#include <filesystem>

#include "core/error.h"
#include "core/mapped_file.h"
#include "text/world_vocabulary.h"

namespace riverrun::text {
namespace {

namespace fs = std::filesystem;

constexpr const char* kWorldFile = "rwkv_vocab_v20230424.txt";
constexpr const char* kAdvice = "cluster/install_deps.sh fetches it";

struct Format {
  const char* description;
  bool (*recognises)(std::string_view head);
  std::unique_ptr<Tokenizer> (*make)(std::string_view file, const std::string& name);
};

// A new kind of vocabulary is one more line here.
constexpr Format kFormats[] = {
    {"RWKV World vocabulary (lines of: ID 'TOKEN' BYTES)", looks_like_world_vocabulary, make_world_tokenizer},
};

bool is_file(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

}  // namespace

std::unique_ptr<Tokenizer> load_tokenizer(const std::string& path) {
  const MappedFile file(path);
  const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  std::string known;
  for (const Format& format : kFormats) {
    if (format.recognises(text.substr(0, 256))) return format.make(text, path);
    known += concat(known.empty() ? "" : ", ", format.description);
  }
  throw InputError(
      concat(path, " is no vocabulary that this program reads; it reads: ", known, "; ", kAdvice));
}

std::string find_tokenizer(const std::string& model_path, const std::string& explicit_path) {
  if (!explicit_path.empty()) {
    RR_CHECK_INPUT(is_file(explicit_path), "the tokenizer's vocabulary ", explicit_path, " is not a file; ",
                   kAdvice);
    return explicit_path;
  }
  if (const char* const named = std::getenv("RIVERRUN_VOCAB"); named && *named) {
    RR_CHECK_INPUT(is_file(named), "RIVERRUN_VOCAB names ", named,
                   ", which is not a file; correct or unset it");
    return named;
  }
  std::vector<fs::path> places;
  if (!model_path.empty()) {
    std::error_code error;
    const bool is_folder = fs::is_directory(model_path, error);
    places.push_back((is_folder ? fs::path(model_path) : fs::path(model_path).parent_path()) / kWorldFile);
  }
  places.push_back(fs::path(RIVERRUN_DATA_DIR) / kWorldFile);
  std::string looked;
  for (const fs::path& place : places) {
    if (is_file(place)) return place.string();
    looked += concat(looked.empty() ? "" : ", ", place.string());
  }
  throw InputError(concat("no tokenizer vocabulary found: looked for ", looked,
                          " and at RIVERRUN_VOCAB, which is not set; name one with --tokenizer (", kAdvice,
                          ")"));
}

}  // namespace riverrun::text
