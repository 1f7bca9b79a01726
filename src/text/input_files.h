// The files that an input names, in the order they are read.
#pragma once

#include <string>
#include <vector>

namespace riverrun::text {

struct InputFile {
  std::string path;  // as open_stream takes it
  std::string name;  // for ids: relative to the directory given, without a compression suffix
};

// One file, or all files of a directory by the rules of reader.h. Throws InputError as it says there.
std::vector<InputFile> list_input_files(const std::string& input);

}  // namespace riverrun::text
