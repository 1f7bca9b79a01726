#include <iterator>

#include "checkpoint/pickle.h"

namespace riverrun::checkpoint {
namespace {

struct Global {
  std::string_view name;
  PickleValue value;
};

constexpr Global kGlobals[] = {
    {"collections.OrderedDict", PickleFunction::ordered_dict},
    {"torch._utils._rebuild_tensor_v2", PickleFunction::rebuild_tensor},
    {"torch._utils._rebuild_parameter", PickleFunction::rebuild_parameter},
    {"torch.DoubleStorage", PickleStorageType{DType::f64}},
    {"torch.FloatStorage", PickleStorageType{DType::f32}},
    {"torch.BFloat16Storage", PickleStorageType{DType::bf16}},
    {"torch.HalfStorage", PickleStorageType{DType::f16}},
    {"torch.LongStorage", PickleStorageType{DType::i64}},
    {"torch.IntStorage", PickleStorageType{DType::i32}},
    {"torch.ShortStorage", PickleStorageType{DType::i16}},
    {"torch.CharStorage", PickleStorageType{DType::i8}},
    {"torch.ByteStorage", PickleStorageType{DType::u8}},
    {"torch.BoolStorage", PickleStorageType{DType::boolean}},
    {"torch.float64", PickleDType{}},
    {"torch.float32", PickleDType{}},
    {"torch.bfloat16", PickleDType{}},
    {"torch.float16", PickleDType{}},
    {"torch.int64", PickleDType{}},
    {"torch.int32", PickleDType{}},
    {"torch.int16", PickleDType{}},
    {"torch.int8", PickleDType{}},
    {"torch.uint8", PickleDType{}},
    {"torch.bool", PickleDType{}},
};

}  // namespace

const PickleValue* find_pickle_global(std::string_view name) {
  for (const Global& known : kGlobals) {
    if (known.name == name) return &known.value;
  }
  return nullptr;
}

const char* describe(const PickleValue& value) {
  constexpr const char* kNames[] = {
      "None",           "a bool",     "an integer",      "a float", "a string",  "a dtype",
      "a storage type", "a function", "a tuple or list", "a dict",  "a storage", "a tensor"};
  static_assert(std::size(kNames) == std::variant_size_v<PickleValue>);
  return kNames[value.index()];
}

}  // namespace riverrun::checkpoint
