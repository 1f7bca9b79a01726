// .pth: a zip file of one pickle, <root>/data.pkl, which describes the tensors, and one member
// <root>/data/<key> of raw elements per storage. A tensor is a view of a storage: offset, shape and strides,
// in elements. Source: PyTorch, torch/serialization.py and torch/_weights_only_unpickler.py.
#include <algorithm>
#include <cstring>

#include "checkpoint/formats.h"
#include "checkpoint/layout.h"
#include "checkpoint/pickle.h"
#include "checkpoint/zip_directory.h"
#include "core/error.h"
#include "core/log.h"

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

const PickleValue* find_item(const PickleDict& dict, std::string_view name) {
  for (const auto& [key, value] : dict.items) {
    const auto* const text = std::get_if<std::string_view>(&key);
    if (text && *text == name) return &value;
  }
  return nullptr;
}

// The dictionary of tensors: the top object, or what it holds as "state_dict".
const PickleDict& find_weights(const std::string& path, const Pickle& pickle) {
  auto* const* const top = std::get_if<PickleDict*>(&pickle.top());
  RR_CHECK_INPUT(top, path, " holds ", describe(pickle.top()), ", expected a dict of tensors");
  const PickleDict* weights = *top;
  if (const PickleValue* const inner = find_item(*weights, "state_dict")) {
    auto* const* const dict = std::get_if<PickleDict*>(inner);
    RR_CHECK_INPUT(dict, path, ": its state_dict is ", describe(*inner), ", expected a dict of tensors");
    weights = *dict;
  }
  for (const char* const mark : {"_strategy", "_version", "_rescale_layer"}) {
    RR_CHECK_INPUT(!find_item(*weights, mark), path, ": it has the entry ", mark,
                   ", so it was already converted by the rwkv Python package, which transposes and rescales "
                   "weights for one strategy; use the original .pth");
  }
  return *weights;
}

Tensor make_tensor(const std::string& path, const ZipDirectory& zip, const std::string& root,
                   std::string name, const PickleTensor& view) {
  const std::string where = concat(path, ": tensor ", name);
  const PickleStorage& storage = *view.storage;
  const std::string member = concat(root, "/data/", storage.key);
  RR_CHECK_INPUT(zip.members().contains(member), where, " needs ", member, ", which is not in the file");
  const auto bytes = zip.read(member);
  const Index room = static_cast<Index>(bytes.size()) / size_of(storage.dtype);
  RR_CHECK_INPUT(storage.elements >= 0 && storage.elements <= room, where, ": ", member, " should hold ",
                 storage.elements, " elements of ", name_of(storage.dtype), " but has ", bytes.size(),
                 " bytes");
  const Index extent = checked_extent(where, view.shape, view.strides);
  RR_CHECK_INPUT(
      view.offset >= 0 && view.offset <= storage.elements && extent <= storage.elements - view.offset, where,
      " with offset ", view.offset, ", shape ", shape_text(view.shape), " and strides ",
      shape_text(view.strides), " reaches outside ", member, ", which holds ", storage.elements, " elements");
  Tensor tensor{std::move(name), storage.dtype, view.shape, view.strides,
                bytes.data() + view.offset * size_of(storage.dtype)};
  // Such a view repeats elements: a few bytes of file could ask for any amount of memory.
  RR_CHECK_INPUT(tensor.size() <= storage.elements, where, " of shape ", shape_text(view.shape),
                 " is an expanded view of ", storage.elements, " elements; save it with .contiguous()");
  return tensor;
}

}  // namespace

Contents read_pth(std::shared_ptr<const MappedFile> file) {
  const std::string& path = file->path();
  const ZipDirectory zip(file);
  const std::string root = find_root(path, zip);
  check_byte_order(path, zip, root);
  const std::string member = root + "/data.pkl";
  const Pickle pickle(zip.read(member), concat(path, ": ", member));

  std::map<std::string, Tensor> tensors;
  for (const auto& [key, value] : find_weights(path, pickle).items) {
    const auto* const name = std::get_if<std::string_view>(&key);
    RR_CHECK_INPUT(name, path, " has ", describe(key), " as the name of a tensor, expected a string");
    auto* const* const view = std::get_if<PickleTensor*>(&value);
    if (!view) {
      log_debug(path, ": entry ", *name, " is ", describe(value), ", not a tensor; ignored");
      continue;
    }
    Tensor tensor = make_tensor(path, zip, root, std::string(*name), **view);
    RR_CHECK_INPUT(tensors.emplace(*name, std::move(tensor)).second, path, " holds two tensors named ",
                   *name);
  }
  RR_CHECK_INPUT(!tensors.empty(), path, " holds no tensor");
  return {path, "pth (zip)", {file}, std::move(tensors)};
}

}  // namespace riverrun::checkpoint
