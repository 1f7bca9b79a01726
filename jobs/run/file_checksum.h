// A quick checksum of files, by which ranks tell whether they read the same bytes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/thread_pool.h"

namespace riverrun::jobs {

// Follows from the files' bytes, one file after the other, alone; at the speed of memory when they are cached. InputError when one
// cannot be read.
std::uint32_t checksum_of_files(const std::vector<std::string>& paths, ThreadPool& pool);

}  // namespace riverrun::jobs
