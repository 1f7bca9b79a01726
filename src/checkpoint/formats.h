// The readers behind open_checkpoint, one per format. Each takes a file that its format's first bytes were
// seen in, and gives its tensors under the names that the file has for them; naming.h makes them official.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/checkpoint.h"

namespace riverrun::checkpoint {

// What a file or folder says beside names and shapes and a naming scheme may need. 0 or nothing: not said.
struct Facts {
  std::optional<bool> embedding_normalized;  // config.json: embedding_layer_norm_fused
  Index head_size = 0;                       // GGUF: wkv.head_size
  Index rescale_every = 0;                   // GGUF: rescale_every_n_layers
  std::string architecture;                  // GGUF: general.architecture
};

// A container, read: every tensor lies inside one of `files` and is filed under its name.
struct Contents {
  std::string path, container;
  std::vector<std::shared_ptr<const MappedFile>> files;
  std::map<std::string, Tensor> tensors;
  Facts facts;
  Extras extras;  // what the reader knows of them; naming is still to be found
};

// The first pickle of a legacy .pth: the number 0x1950a86a20f9469cfc6c.
constexpr std::string_view kLegacyPthMagic("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e",
                                           15);

Contents read_gguf(std::shared_ptr<const MappedFile> file);
Contents read_pth(std::shared_ptr<const MappedFile> file);
Contents read_legacy_pth(std::shared_ptr<const MappedFile> file);
Contents refuse_bare_pickle(std::shared_ptr<const MappedFile> file);
Contents read_safetensors(std::shared_ptr<const MappedFile> file);

// Reads a file by its first bytes. `index_allowed`: whether it may be an index of several files
// (hub_folder.h).
Contents read_weight_file(const std::string& path, bool index_allowed = true);

}  // namespace riverrun::checkpoint
