// Small text files that options name.
#pragma once

#include <fstream>
#include <string>

namespace riverrun::jobs {

// The file that `option` names, opened for reading. InputError for a directory and for what cannot be opened.
std::ifstream open_text(const std::string& option, const std::string& path);

}  // namespace riverrun::jobs
