// .pth as PyTorch before 1.6 wrote it, and torch.save(..., _use_new_zipfile_serialization=False) still does:
// five pickles one after the other (a magic number, the protocol, facts about the machine, the object, the
// keys of its storages), then for each key, in that order, the number of elements (8 bytes) and the elements.
// Source: PyTorch, torch/serialization.py, _legacy_save.
#include <cstring>
#include <unordered_map>

#include "checkpoint/formats.h"
#include "checkpoint/pth_object.h"
#include "core/error.h"

namespace riverrun::checkpoint {
namespace {

constexpr Index kProtocol = 1001;

// Reads pickles from the front of a file.
class Pickles {
 public:
  Pickles(const MappedFile& file, std::size_t begin) : file_(file), at_(begin) {}

  std::unique_ptr<Pickle> next(const char* what) {
    auto pickle = std::make_unique<Pickle>(file_.bytes().subspan(at_), concat(file_.path(), ": ", what));
    at_ += pickle->size();
    return pickle;
  }
  std::size_t at() const { return at_; }

 private:
  const MappedFile& file_;
  std::size_t at_;
};

void check_system(const std::string& path, const Pickle& pickle) {
  auto* const* const facts = std::get_if<PickleDict*>(&pickle.top());
  RR_CHECK_INPUT(facts, path, ": damaged legacy .pth: its third pickle is ", describe(pickle.top()),
                 ", expected a dict");
  for (const auto& [key, value] : (*facts)->items) {
    const auto* const name = std::get_if<std::string_view>(&key);
    if (!name || *name != "little_endian") continue;
    const auto* const little = std::get_if<bool>(&value);
    RR_CHECK_INPUT(
        little && *little, path,
        ": its numbers are not stored in little-endian order; save it again on a little-endian machine");
  }
}

using Storages = std::unordered_map<std::string_view, std::span<const std::byte>>;

// What stands behind the pickles. How long a storage is follows from its type, which only the object says.
Storages find_storages(const MappedFile& file, const Pickle& object, const Pickle& keys, std::size_t at) {
  const std::string& path = file.path();
  std::unordered_map<std::string_view, DType> types;
  for (const PickleStorage& storage : object.storages()) {
    const auto [known, added] = types.emplace(storage.key, storage.dtype);
    RR_CHECK_INPUT(added || known->second == storage.dtype, path, ": storage ", storage.key,
                   " is used both as ", name_of(known->second), " and as ", name_of(storage.dtype));
  }
  auto* const* const list = std::get_if<PickleSequence*>(&keys.top());
  RR_CHECK_INPUT(list, path, ": damaged legacy .pth: ", describe(keys.top()),
                 " instead of its storages' keys");
  Storages found;
  for (const PickleValue& item : (*list)->items) {
    const auto* const key = std::get_if<std::string_view>(&item);
    RR_CHECK_INPUT(key && types.contains(*key), path, ": damaged legacy .pth: it lists ",
                   key ? *key : describe(item), " as a storage, which no tensor uses");
    const auto rest = file.bytes().subspan(at);
    std::uint64_t elements = 0;
    RR_CHECK_INPUT(rest.size() >= sizeof elements, path, " ends before storage ", *key,
                   "; was it downloaded completely?");
    std::memcpy(&elements, rest.data(), sizeof elements);
    const auto width = static_cast<std::uint64_t>(size_of(types.at(*key)));
    RR_CHECK_INPUT(elements <= (rest.size() - sizeof elements) / width, path, " ends inside storage ", *key,
                   ", which should hold ", elements, " elements; was it downloaded completely?");
    RR_CHECK_INPUT(found.emplace(*key, rest.subspan(sizeof elements, elements * width)).second, path,
                   ": damaged legacy .pth: it lists storage ", *key, " twice");
    at += sizeof elements + elements * width;
  }
  RR_CHECK_INPUT(at == file.bytes().size(), path, ": damaged legacy .pth: ", file.bytes().size() - at,
                 " bytes follow its last storage");
  return found;
}

}  // namespace

Contents read_legacy_pth(std::shared_ptr<const MappedFile> file) {
  const std::string& path = file->path();
  Pickles pickles(*file, kLegacyPthMagic.size());
  const auto protocol = pickles.next("its protocol");
  const auto* const number = std::get_if<Index>(&protocol->top());
  RR_CHECK_INPUT(number && *number == kProtocol, path, ": unknown protocol of a legacy .pth, expected ",
                 kProtocol);
  check_system(path, *pickles.next("its system facts"));
  const auto object = pickles.next("its object");
  const auto keys = pickles.next("its storage keys");
  const Storages storages = find_storages(*file, *object, *keys, pickles.at());
  const auto find = [&](const std::string& where, const PickleStorage& storage) {
    const auto found = storages.find(storage.key);
    RR_CHECK_INPUT(found != storages.end(), where, " needs storage ", storage.key,
                   ", which is not in the file");
    return StorageBytes{concat("storage ", storage.key), found->second};
  };
  return {path, "pth (legacy)", {file}, find_weights(path, *object, find)};
}

Contents refuse_bare_pickle(std::shared_ptr<const MappedFile> file) {
  throw InputError(
      concat(file->path(),
             " is a bare pickle, written without torch.save: it can hold any Python object, and is "
             "not read; load it where it came from and torch.save its dict of tensors"));
}

}  // namespace riverrun::checkpoint
