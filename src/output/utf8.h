// The little that fixed-length HDF5 strings need of UTF-8.
#pragma once

#include <string>
#include <string_view>

namespace riverrun::output {

// `text` with every byte that belongs to no valid sequence (overlong forms, surrogates and NUL included)
// replaced by U+FFFD. One stray byte would make h5py refuse to decode a whole dataset.
std::string valid_utf8(std::string_view text);

// The longest prefix of valid UTF-8 that fits `bytes` and ends between two characters.
std::string_view utf8_prefix(std::string_view text, std::size_t bytes);

}  // namespace riverrun::output
