#include "jobs/open_text.h"

#include <filesystem>

#include "core/error.h"

namespace riverrun::jobs {

std::ifstream open_text(const std::string& option, const std::string& path) {
  RR_CHECK_INPUT(!std::filesystem::is_directory(path), option, " ", path, " is a directory; name a file");
  std::ifstream file(path, std::ios::binary);
  RR_CHECK_INPUT(file.good(), with_errno(concat("cannot read ", option, " ", path)));
  return file;
}

}  // namespace riverrun::jobs
