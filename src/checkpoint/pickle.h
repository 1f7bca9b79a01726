// Pickle: reads the pickle inside a .pth file without ever running it.
//
// A pickle is a program for a stack machine that can call anything. This machine knows only what a dictionary
// of tensors needs, and builds plain values: any other opcode or global ends in an InputError that names it.
// Stack, memo and objects are limited in number and nothing recurses: hostile bytes cost little.
//
// Opcodes: those of Python's pickletools that PyTorch's own weights-only reader accepts, protocol 2.
// Globals: collections.OrderedDict, torch._utils._rebuild_tensor_v2, _rebuild_parameter, storages, dtypes.
#pragma once

#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/types.h"

namespace riverrun::checkpoint {

struct PickleSequence;  // a tuple or a list
struct PickleDict;      // a dict or an OrderedDict
struct PickleStorage;
struct PickleTensor;

struct PickleNone {};
struct PickleDType {};  // torch.bfloat16 and its like, which no tensor needs
struct PickleStorageType {
  DType dtype;
};
enum class PickleFunction { ordered_dict, rebuild_tensor, rebuild_parameter };

// Text points into the pickle, the rest into the Pickle that read it.
using PickleValue =
    std::variant<PickleNone, bool, Index, double, std::string_view, PickleDType, PickleStorageType,
                 PickleFunction, PickleSequence*, PickleDict*, PickleStorage*, PickleTensor*>;

struct PickleSequence {
  std::vector<PickleValue> items;
  bool list = false;  // lists can grow
};
struct PickleDict {
  std::vector<std::pair<PickleValue, PickleValue>> items;  // in the order they were set, doubles included
};
struct PickleStorage {
  DType dtype;
  std::string_view key;
  Index elements;
};
struct PickleTensor {
  const PickleStorage* storage;
  Index offset;  // elements
  std::vector<Index> shape, strides;
};

// "a dict", for messages
const char* describe(const PickleValue& value);

// The globals that a pickle may name, and what they stand for; null for any other.
const PickleValue* find_pickle_global(std::string_view name);

class Pickle {
 public:
  // Reads one pickle from the front of `bytes`, which must outlive the Pickle. `where` begins every message:
  // "model.pth: archive/data.pkl".
  Pickle(std::span<const std::byte> bytes, std::string where);
  Pickle(const Pickle&) = delete;
  Pickle& operator=(const Pickle&) = delete;

  const PickleValue& top() const { return top_; }
  std::size_t size() const { return size_; }  // bytes that the pickle takes up
  const std::deque<PickleStorage>& storages() const { return storages_; }  // all it names, one may come often

 private:
  friend class PickleMachine;
  PickleValue top_;
  std::size_t size_ = 0;
  std::deque<PickleSequence> sequences_;
  std::deque<PickleDict> dicts_;
  std::deque<PickleStorage> storages_;
  std::deque<PickleTensor> tensors_;
};

}  // namespace riverrun::checkpoint
