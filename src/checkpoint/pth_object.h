// The object that torch.save pickled: which of its parts are the weights, and their tensors as views of
// storages.
#pragma once

#include <functional>
#include <map>
#include <span>
#include <string>

#include "checkpoint/checkpoint.h"
#include "checkpoint/pickle.h"

namespace riverrun::checkpoint {

// Where a storage lies in a file, and what to call it in messages.
struct StorageBytes {
  std::string name;  // "archive/data/0"
  std::span<const std::byte> bytes;
};
// `where` begins the message when the file lacks that storage.
using FindStorage = std::function<StorageBytes(const std::string& where, const PickleStorage& storage)>;

// The tensors of a dict of tensors, or of the one such dict that it holds as "state_dict", "model" or
// "module", each within its storage. Other entries are left out, as the log says. InputError for any other
// object, for views that reach outside their storage or repeat elements, and for files that the rwkv package
// has converted.
std::map<std::string, Tensor> find_weights(const std::string& path, const Pickle& pickle,
                                           const FindStorage& find);

}  // namespace riverrun::checkpoint
