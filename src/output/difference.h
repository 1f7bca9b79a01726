// May a file be resumed with what the program would write now?
#pragma once

#include <string>

#include "output/reader.h"

namespace riverrun::output {

// Empty when `existing` holds what `wanted` asks for; else the first difference, in words for the user.
// Compared are the documents (ids, token counts, sizes), every dataset's type and shape, what the rows of
// /windows, /sections, /answers and /passages are, the questions, and all attributes but those that only describe the
// run: command, created, model_path, riverrun_version. The attribute input_crc32c, a checksum of all token
// ids, stands for the documents' contents.
std::string difference(const Reader& existing, const FileSpec& wanted);

}  // namespace riverrun::output
