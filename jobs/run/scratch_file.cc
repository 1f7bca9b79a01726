#include "jobs/run/scratch_file.h"

#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <random>

#include "core/error.h"
#include "core/log.h"

namespace riverrun::jobs {

ScratchFile::ScratchFile(const std::string& beside, const std::string& suffix) {
  std::random_device random;
  do {
    path_ = concat(beside, ".", ::getpid(), "-", std::hex, random(), suffix);
  } while (std::filesystem::exists(path_));
}

void ScratchFile::remove() {
  if (path_.empty()) return;
  if (::unlink(path_.c_str()) != 0 && errno != ENOENT) log_warning(with_errno("cannot remove " + path_));
  path_.clear();
}

}  // namespace riverrun::jobs
