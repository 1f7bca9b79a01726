#include "checkpoint/pickle.h"

#include <bit>
#include <cstdio>
#include <cstring>
#include <unordered_map>

#include "checkpoint/layout.h"
#include "core/error.h"

namespace riverrun::checkpoint {
namespace {

// A checkpoint of 61 layers has 2000 tensors: 300 kB of pickle, 2000 stack entries, 20000 memo entries.
constexpr std::size_t kMaxBytes = std::size_t{16} << 20;
constexpr std::size_t kMaxEntries = std::size_t{1} << 20;  // of the stack, the memo, and objects made

// Opcodes, by the names of Python's pickletools.
enum Opcode : unsigned char {
  kMark = '(', kStop = '.', kBinInt = 'J', kBinInt1 = 'K', kBinInt2 = 'M', kNone = 'N', kBinPersId = 'Q',
  kReduce = 'R', kShortBinString = 'U', kBinUnicode = 'X', kAppend = 'a', kBuild = 'b', kGlobal = 'c',
  kAppends = 'e', kBinGet = 'h', kLongBinGet = 'j', kBinPut = 'q', kLongBinPut = 'r', kSetItem = 's',
  kTuple = 't', kSetItems = 'u', kBinFloat = 'G', kEmptyTuple = ')', kEmptyList = ']', kEmptyDict = '}',
  kProto = 0x80, kNewObj = 0x81, kTuple1 = 0x85, kTuple2 = 0x86, kTuple3 = 0x87, kNewTrue = 0x88,
  kNewFalse = 0x89, kLong1 = 0x8a,
};

}  // namespace

class PickleMachine {
 public:
  PickleMachine(Pickle& out, std::span<const std::byte> bytes, std::string where)
      : out_(out), bytes_(bytes), where_(std::move(where)) {}

  PickleValue run() {
    for (;;) {
      opcode_at_ = at_;
      if (at_ > kMaxBytes) fail("is larger than ", kMaxBytes, " bytes");
      const auto opcode = get<unsigned char>();
      if (opcode == kStop) {
        out_.size_ = at_;
        return pop();
      }
      if (!push_constant(opcode) && !build_container(opcode) && !call(opcode)) {
        char hex[8];
        std::snprintf(hex, sizeof hex, "0x%02x", opcode);
        fail("has opcode ", hex, ", which no checkpoint of tensors needs; it is refused");
      }
    }
  }

 private:
  // Values without parts, and the memo.
  bool push_constant(unsigned char opcode) {
    switch (opcode) {
      case kProto: {
        const auto protocol = get<unsigned char>();
        if (protocol < 2 || protocol > 5) fail("has protocol ", int{protocol}, ", expected 2");
        return true;
      }
      case kNone: push(PickleNone{}); return true;
      case kNewTrue: push(true); return true;
      case kNewFalse: push(false); return true;
      case kBinInt: push(Index{get<std::int32_t>()}); return true;
      case kBinInt1: push(Index{get<std::uint8_t>()}); return true;
      case kBinInt2: push(Index{get<std::uint16_t>()}); return true;
      case kLong1: push(long1()); return true;
      case kBinFloat: push(std::bit_cast<double>(__builtin_bswap64(get<std::uint64_t>()))); return true;
      case kBinUnicode: push(text(get<std::uint32_t>())); return true;
      case kShortBinString: push(text(get<std::uint8_t>())); return true;
      case kGlobal: push(global()); return true;
      case kBinPut: put(get<std::uint8_t>()); return true;
      case kLongBinPut: put(get<std::uint32_t>()); return true;
      case kBinGet: push(memo(get<std::uint8_t>())); return true;
      case kLongBinGet: push(memo(get<std::uint32_t>())); return true;
      default: return false;
    }
  }

  bool build_container(unsigned char opcode) {
    switch (opcode) {
      case kMark: marks_.push_back(stack_.size()); check_limit(marks_.size(), "nesting"); return true;
      case kEmptyTuple: push(sequence({})); return true;
      case kTuple: push(sequence(pop_to_mark())); return true;
      case kTuple1: push(sequence(pop_last(1))); return true;
      case kTuple2: push(sequence(pop_last(2))); return true;
      case kTuple3: push(sequence(pop_last(3))); return true;
      case kEmptyList: push(sequence({}, /*list=*/true)); return true;
      case kAppend: append(pop_last(1)); return true;
      case kAppends: append(pop_to_mark()); return true;
      case kEmptyDict: push(make(out_.dicts_)); return true;
      case kSetItem: set_items(pop_last(2)); return true;
      case kSetItems: set_items(pop_to_mark()); return true;
      default: return false;
    }
  }

  // What a pickle would call; here it only makes the three kinds of object that a checkpoint is built of.
  bool call(unsigned char opcode) {
    switch (opcode) {
      case kBinPersId: push(storage(pop())); return true;
      case kReduce:
      case kNewObj: {
        const PickleValue arguments = pop();
        const PickleValue function = pop();
        push(apply(as<PickleFunction>(function, "a function to call"),
                   as<PickleSequence*>(arguments, "a tuple of arguments")->items));
        return true;
      }
      case kBuild:  // attributes of a dictionary, such as _metadata: not needed
        (void)pop();
        (void)as<PickleDict*>(top(), "a dict that gets attributes");
        return true;
      default: return false;
    }
  }

  PickleValue apply(PickleFunction function, const std::vector<PickleValue>& arguments) {
    switch (function) {
      case PickleFunction::ordered_dict:
        if (!arguments.empty()) fail("makes an OrderedDict from arguments; torch.save does not");
        return make(out_.dicts_);
      case PickleFunction::rebuild_parameter:
        if (arguments.empty()) fail("rebuilds a parameter from nothing");
        return as<PickleTensor*>(arguments[0], "the tensor of a parameter");
      case PickleFunction::rebuild_tensor: break;
    }
    if (arguments.size() < 4) fail("rebuilds a tensor from ", arguments.size(), " arguments");
    PickleTensor* const tensor = make(out_.tensors_);
    tensor->storage = as<PickleStorage*>(arguments[0], "the storage of a tensor");
    tensor->offset = as<Index>(arguments[1], "the offset of a tensor");
    tensor->shape = integers(arguments[2], "the shape of a tensor");
    tensor->strides = integers(arguments[3], "the strides of a tensor");
    return tensor;
  }

  // ('storage', torch.FloatStorage, '0', 'cuda:0', elements), and in legacy files None for "not a view"
  PickleValue storage(const PickleValue& id) {
    const auto& parts = as<PickleSequence*>(id, "a persistent id")->items;
    if (parts.size() == 6) as<PickleNone>(parts[5], "the view of a storage, as PyTorch before 0.4 wrote it");
    if (parts.size() < 5 || parts.size() > 6 || as<std::string_view>(parts[0], "the kind of a persistent id") != "storage") {
      fail("has a persistent id that is no ('storage', type, key, location, elements)");
    }
    PickleStorage* const storage = make(out_.storages_);
    storage->dtype = as<PickleStorageType>(parts[1], "the type of a storage").dtype;
    storage->key = as<std::string_view>(parts[2], "the key of a storage");
    storage->elements = as<Index>(parts[4], "the size of a storage");
    return storage;
  }

  PickleValue global() {
    const std::string_view module = line(), name = line();
    const std::string full = concat(module, ".", name);
    if (const PickleValue* const known = find_pickle_global(full)) return *known;
    fail("asks for ", full, ", which no checkpoint of tensors needs; it is refused");
  }

  std::vector<Index> integers(const PickleValue& value, const char* what) {
    const auto& items = as<PickleSequence*>(value, what)->items;
    if (items.size() > kMaxRank) fail("has ", items.size(), " numbers as ", what);
    std::vector<Index> numbers;
    for (const PickleValue& item : items) numbers.push_back(as<Index>(item, what));
    return numbers;
  }

  Index long1() {
    const auto size = get<std::uint8_t>();
    if (size > 8) fail("has an integer of ", int{size}, " bytes");
    const std::string_view digits = text(size);
    std::uint64_t number = size != 0 && (digits.back() & 0x80) ? ~std::uint64_t{0} : 0;
    std::memcpy(&number, digits.data(), size);
    return static_cast<Index>(number);
  }

  void append(std::vector<PickleValue> values) {
    PickleSequence* const list = as<PickleSequence*>(top(), "a list to append to");
    if (!list->list) fail("appends to a tuple");
    list->items.insert(list->items.end(), values.begin(), values.end());
  }

  void set_items(const std::vector<PickleValue>& values) {
    PickleDict* const dict = as<PickleDict*>(top(), "a dict to set items of");
    if (values.size() % 2 != 0) fail("sets a key without a value");
    for (std::size_t i = 0; i < values.size(); i += 2) dict->items.emplace_back(values[i], values[i + 1]);
  }

  PickleValue sequence(std::vector<PickleValue> items, bool list = false) {
    PickleSequence* const made = make(out_.sequences_);
    *made = {std::move(items), list};
    return made;
  }

  template <class T>
  T* make(std::deque<T>& objects) {
    check_limit(++objects_, "number of objects");
    return &objects.emplace_back();
  }

  void push(PickleValue value) {
    check_limit(stack_.size(), "stack");
    stack_.push_back(value);
  }
  // Entries below the last mark belong to an unfinished container.
  void check_depth(std::size_t count) {
    const std::size_t below = marks_.empty() ? 0 : marks_.back();
    if (stack_.size() - below < count) fail("takes more from its stack than there is");
  }
  const PickleValue& top() {
    check_depth(1);
    return stack_.back();
  }
  PickleValue pop() {
    check_depth(1);
    const PickleValue value = stack_.back();
    stack_.pop_back();
    return value;
  }
  std::vector<PickleValue> pop_last(std::size_t count) {
    check_depth(count);
    std::vector<PickleValue> values(stack_.end() - static_cast<std::ptrdiff_t>(count), stack_.end());
    stack_.resize(stack_.size() - count);
    return values;
  }
  std::vector<PickleValue> pop_to_mark() {
    if (marks_.empty()) fail("closes a container that it did not open");
    std::vector<PickleValue> values = pop_last(stack_.size() - marks_.back());
    marks_.pop_back();
    return values;
  }

  void put(std::uint32_t index) {
    memo_[index] = top();
    check_limit(memo_.size(), "memo");
  }
  const PickleValue& memo(std::uint32_t index) {
    const auto found = memo_.find(index);
    if (found == memo_.end()) fail("recalls memo entry ", index, ", which it never stored");
    return found->second;
  }

  template <class T>
  T as(const PickleValue& value, const char* what) {
    const T* const is = std::get_if<T>(&value);
    if (!is) fail("has ", describe(value), " as ", what);
    return *is;
  }

  template <class T>
  T get() {
    T value;
    std::memcpy(&value, text(sizeof value).data(), sizeof value);
    return value;
  }
  std::string_view text(std::size_t size) {
    if (size > bytes_.size() - at_) fail("ends too early");
    at_ += size;
    return {reinterpret_cast<const char*>(bytes_.data()) + at_ - size, size};
  }
  std::string_view line() {
    const std::string_view rest(reinterpret_cast<const char*>(bytes_.data()) + at_, bytes_.size() - at_);
    const auto end = rest.substr(0, 256).find('\n');
    if (end == std::string_view::npos) fail("has a global without an end");
    at_ += end + 1;
    return rest.substr(0, end);
  }

  void check_limit(std::size_t entries, const char* what) {
    if (entries > kMaxEntries) fail("exceeds ", kMaxEntries, " entries in its ", what);
  }
  template <class... Parts>
  [[noreturn]] void fail(const Parts&... parts) {
    throw InputError(concat(where_, " ", parts..., " (at byte ", opcode_at_, ")"));
  }

  Pickle& out_;
  std::span<const std::byte> bytes_;
  std::string where_;
  std::size_t at_ = 0, opcode_at_ = 0, objects_ = 0;
  std::vector<PickleValue> stack_;
  std::vector<std::size_t> marks_;  // heights of the stack where open containers begin
  std::unordered_map<std::uint32_t, PickleValue> memo_;
};

Pickle::Pickle(std::span<const std::byte> bytes, std::string where) {
  top_ = PickleMachine(*this, bytes, std::move(where)).run();
}

}  // namespace riverrun::checkpoint
