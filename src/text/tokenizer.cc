#include "text/tokenizer.h"

#include <algorithm>

#include "core/error.h"
#include "core/mapped_file.h"
#include "text/world_vocabulary.h"

namespace riverrun::text {
namespace {

bool looks_like_json_object(std::string_view head) {
  const auto first = head.find_first_not_of(" \t\r\n");
  return first != std::string_view::npos && head[first] == '{';
}

struct Format {
  const char* description;
  bool (*recognises)(std::string_view head);
  std::unique_ptr<Tokenizer> (*make)(std::string_view file, const std::string& name);
};

// A new kind of vocabulary is one more line here.
constexpr Format kFormats[] = {
    {"RWKV World vocabulary (lines of: ID 'TOKEN' BYTES)", looks_like_world_vocabulary, make_world_tokenizer},
    {"tokenizer.json of the GPT-NeoX 20B kind", looks_like_json_object, make_neox_tokenizer},
};

}  // namespace

std::vector<std::string> token_bytes(const Tokenizer& tokenizer, Index vocab) {
  std::vector<std::string> all(static_cast<std::size_t>(vocab));
  for (TokenId id = 0; id < std::min(vocab, tokenizer.vocab_size()); ++id) {
    try {
      all[static_cast<std::size_t>(id)] = tokenizer.decode({&id, 1});
    } catch (const InputError&) {
      continue;  // an id without a token
    }
  }
  return all;
}

std::unique_ptr<Tokenizer> load_tokenizer(const std::string& path) {
  const MappedFile file(path);
  const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  std::string known;
  for (const Format& format : kFormats) {
    if (format.recognises(text.substr(0, 256))) return format.make(text, path);
    known += concat(known.empty() ? "" : ", ", format.description);
  }
  throw InputError(concat(path, " is no vocabulary that this program reads; it reads: ", known,
                          "; cluster/install_deps.sh fetches the first"));
}

}  // namespace riverrun::text
