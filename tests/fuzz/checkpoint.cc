// Weight files: what open_checkpoint hands out lies inside the file, and every element of it can be read.
#include "checkpoint/checkpoint.h"

#include <vector>

#include "tests/fuzz/fuzz.h"

using namespace riverrun;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const fuzz::InputFile input("model");
  try {
    const auto file = checkpoint::open_checkpoint(input.write(fuzz::text_of(data, size)));
    Index left = Index{1} << 22;  // tensors may share bytes: a few megabytes are enough to see
    for (const auto& [name, tensor] : file->tensors()) {
      const Index bytes = tensor.size() * size_of(tensor.dtype);
      // From one byte at most 8: a block of 18 bytes is 32 elements of fp32.
      fuzz::must(bytes >= 0 && bytes <= 8 * static_cast<Index>(size), "a tensor is no larger than its file allows");
      if ((left -= bytes) < 0) break;
      std::vector<std::byte> copy(static_cast<std::size_t>(bytes));
      checkpoint::copy_elements(tensor, copy.data());
    }
  } catch (const InputError&) {
    return 0;
  }
  return 0;
}
