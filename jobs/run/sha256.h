// SHA-256 of files, as the output records it.
#pragma once

#include <string>
#include <vector>

namespace riverrun::jobs {

// Of the files' bytes, one file after the other: 64 hexadecimal digits. InputError when one cannot be read.
std::string sha256_of_files(const std::vector<std::string>& paths);

}  // namespace riverrun::jobs
