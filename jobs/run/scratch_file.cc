#include "jobs/run/scratch_file.h"

#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <random>
#include <regex>

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

void ScratchFile::remove_left_behind(const std::string& beside, const std::string& suffix) {
  namespace fs = std::filesystem;
  const fs::path named(beside);
  const fs::path folder = named.has_parent_path() ? named.parent_path() : fs::path(".");
  const std::string front = named.filename().string() + ".";
  const std::regex middle("[0-9]{1,10}-[0-9a-f]{1,8}");
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename().string();
    if (!name.starts_with(front) || !name.ends_with(suffix) || name.size() < front.size() + suffix.size()) continue;
    if (!std::regex_match(name.substr(front.size(), name.size() - front.size() - suffix.size()), middle)) continue;
    if (::unlink(at->path().c_str()) == 0) log_info("removed ", at->path().string(), ", which a killed run had left");
    else if (errno != ENOENT) log_warning(with_errno("cannot remove " + at->path().string()));
  }
  if (error) log_warning(folder.string(), ": cannot be looked through for what killed runs have left: ", error.message());
}

}  // namespace riverrun::jobs
