#include "checkpoint/pth_object.h"

#include <algorithm>

#include "checkpoint/layout.h"
#include "core/error.h"
#include "core/log.h"

namespace riverrun::checkpoint {
namespace {

const PickleValue* find_item(const PickleDict& dict, std::string_view name) {
  for (const auto& [key, value] : dict.items) {
    const auto* const text = std::get_if<std::string_view>(&key);
    if (text && *text == name) return &value;
  }
  return nullptr;
}

const PickleDict* as_dict(const PickleValue* value) {
  auto* const* const dict = value ? std::get_if<PickleDict*>(value) : nullptr;
  return dict ? *dict : nullptr;
}

bool holds_tensor(const PickleDict& dict) {
  return std::any_of(dict.items.begin(), dict.items.end(),
                     [](const auto& item) { return std::holds_alternative<PickleTensor*>(item.second); });
}

// Training programs save the weights beside other things.
const PickleDict& unwrap(const std::string& path, const PickleDict& top) {
  const PickleValue* const state = find_item(top, "state_dict");
  RR_CHECK_INPUT(!state || as_dict(state), path, ": its state_dict is ", describe(*state),
                 ", expected a dict of tensors");
  const PickleDict* inner = nullptr;
  const char* found = nullptr;
  for (const char* const name : {"state_dict", "model", "module"}) {
    const PickleDict* const dict = as_dict(find_item(top, name));
    if (!dict || !holds_tensor(*dict)) continue;
    RR_CHECK_INPUT(!inner, path, ": both ", found, " and ", name,
                   " could be its weights; save one of them alone");
    inner = dict;
    found = name;
  }
  return inner ? *inner : top;
}

Tensor make_tensor(const std::string& path, std::string name, const PickleTensor& view,
                   const FindStorage& find) {
  const std::string where = concat(path, ": tensor ", name);
  const PickleStorage& storage = *view.storage;
  const StorageBytes stored = find(where, storage);
  const Index room = static_cast<Index>(stored.bytes.size()) / size_of(storage.dtype);
  RR_CHECK_INPUT(storage.elements >= 0 && storage.elements <= room, where, ": ", stored.name, " should hold ",
                 storage.elements, " elements of ", name_of(storage.dtype), " but has ", stored.bytes.size(),
                 " bytes");
  const Index extent = checked_extent(where, view.shape, view.strides);
  RR_CHECK_INPUT(
      view.offset >= 0 && view.offset <= storage.elements && extent <= storage.elements - view.offset, where,
      " with offset ", view.offset, ", shape ", shape_text(view.shape), " and strides ",
      shape_text(view.strides), " reaches outside ", stored.name, ", which holds ", storage.elements,
      " elements");
  Tensor tensor{std::move(name), storage.dtype, view.shape, view.strides,
                stored.bytes.data() + view.offset * size_of(storage.dtype)};
  // Such a view repeats elements: a few bytes of file could ask for any amount of memory.
  RR_CHECK_INPUT(tensor.size() <= storage.elements, where, " of shape ", shape_text(view.shape),
                 " is an expanded view of ", storage.elements, " elements; save it with .contiguous()");
  return tensor;
}

}  // namespace

std::map<std::string, Tensor> find_weights(const std::string& path, const Pickle& pickle,
                                           const FindStorage& find) {
  const PickleDict* const top = as_dict(&pickle.top());
  RR_CHECK_INPUT(top, path, " holds ", describe(pickle.top()), ", expected a dict of tensors");
  const PickleDict& weights = unwrap(path, *top);
  for (const char* const mark : {"_strategy", "_version", "_rescale_layer"}) {
    RR_CHECK_INPUT(!find_item(weights, mark), path, ": it has the entry ", mark,
                   ", so it was already converted by the rwkv Python package, which transposes and rescales "
                   "weights for one strategy; use the original .pth");
  }
  std::map<std::string, Tensor> tensors;
  for (const auto& [key, value] : weights.items) {
    const auto* const name = std::get_if<std::string_view>(&key);
    RR_CHECK_INPUT(name, path, " has ", describe(key), " as the name of a tensor, expected a string");
    auto* const* const view = std::get_if<PickleTensor*>(&value);
    if (!view) {
      log_debug(path, ": entry ", *name, " is ", describe(value), ", not a tensor; ignored");
      continue;
    }
    Tensor tensor = make_tensor(path, std::string(*name), **view, find);
    RR_CHECK_INPUT(tensors.emplace(*name, std::move(tensor)).second, path, " holds two tensors named ",
                   *name);
  }
  RR_CHECK_INPUT(!tensors.empty(), path, " holds no tensor");
  return tensors;
}

}  // namespace riverrun::checkpoint
