// .pth: a zip file of one pickle, <root>/data.pkl, which describes the tensors, and one member
// <root>/data/<key> of raw elements per storage. A tensor is a view of a storage: offset, shape and strides,
// in elements. Source: PyTorch, torch/serialization.py and torch/_weights_only_unpickler.py.
#include <algorithm>

#include "checkpoint/formats.h"
#include "checkpoint/pth_object.h"
#include "checkpoint/zip_directory.h"
#include "core/error.h"

namespace riverrun::checkpoint {
namespace {

// The root directory is named after the file as it was when it was saved.
std::string find_root(const std::string& path, const ZipDirectory& zip) {
  constexpr std::string_view kPickle = "/data.pkl";
  std::string root;
  for (const auto& [name, member] : zip.members()) {
    if (!name.ends_with(kPickle) || name.find('/') != name.size() - kPickle.size()) continue;
    RR_CHECK_INPUT(root.empty(), path, ": both ", root, " and ", name, " could be the pickle of this file");
    root = name;
  }
  RR_CHECK_INPUT(!root.empty(), path, " is a zip file without a data.pkl: not written by torch.save");
  return root.substr(0, root.size() - kPickle.size());
}

void check_byte_order(const std::string& path, const ZipDirectory& zip, const std::string& root) {
  const std::string name = root + "/byteorder";
  if (!zip.members().contains(name)) return;  // older files have none and are little-endian
  const auto bytes = zip.read(name);
  const std::string order(reinterpret_cast<const char*>(bytes.data()),
                          std::min<std::size_t>(bytes.size(), 16));
  RR_CHECK_INPUT(order == "little", path, ": its numbers are stored in byte order \"", order,
                 "\", only \"little\" is supported; save it again on a little-endian machine");
}

}  // namespace

Contents read_pth(std::shared_ptr<const MappedFile> file) {
  const std::string& path = file->path();
  const ZipDirectory zip(file);
  const std::string root = find_root(path, zip);
  check_byte_order(path, zip, root);
  const std::string member = root + "/data.pkl";
  const Pickle pickle(zip.read(member), concat(path, ": ", member));

  const auto find = [&](const std::string& where, const PickleStorage& storage) {
    const std::string name = concat(root, "/data/", storage.key);
    RR_CHECK_INPUT(zip.members().contains(name), where, " needs ", name, ", which is not in the file");
    return StorageBytes{name, zip.read(name)};
  };
  return {path, "pth (zip)", {file}, find_weights(path, pickle, find)};
}

}  // namespace riverrun::checkpoint
