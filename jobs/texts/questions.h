// The questions of `riverrun ask`.
#pragma once

#include <string>
#include <vector>

namespace riverrun::jobs {

// Those given one by one, then those of a file: JSON Lines, each an object with a text "question", other members unused.
// `path` may be empty. InputError, naming the line, for a line that is none, a question that is empty, not UTF-8 or longer than
// 64 KiB, more than a million of them, or none at all.
std::vector<std::string> read_questions(std::vector<std::string> given, const std::string& path);

}  // namespace riverrun::jobs
