// SHA-256 of a file, as the output records it.
#pragma once

#include <string>

namespace riverrun::jobs {

// 64 hexadecimal digits. InputError when the file cannot be read.
std::string sha256_of_file(const std::string& path);

}  // namespace riverrun::jobs
