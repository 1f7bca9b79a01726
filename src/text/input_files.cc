#include "text/input_files.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "core/error.h"
#include "core/log.h"
#include "text/byte_stream.h"

namespace riverrun::text {
namespace {

namespace fs = std::filesystem;

// stat follows links: what a link names is what counts, and device and inode tell directories apart.
struct stat stat_of(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) throw InputError(with_errno("cannot read " + path));
  return info;
}

class Walk {
 public:
  explicit Walk(const std::string& root) : root_(root) {}

  std::vector<std::string> files() {
    visit("", stat_of(root_));
    std::ranges::sort(files_);
    return std::move(files_);
  }

 private:
  using Identity = std::pair<dev_t, ino_t>;

  std::string full(const std::string& relative) const { return (fs::path(root_) / relative).string(); }

  void visit(const std::string& folder, const struct stat& info) {
    above_.push_back({info.st_dev, info.st_ino});
    std::error_code error;
    fs::directory_iterator entries(full(folder), error);
    for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
      const std::string name = entries->path().filename().string();
      if (!name.starts_with('.')) add(folder.empty() ? name : folder + "/" + name);
    }
    RR_CHECK_INPUT(!error, "cannot list the directory ", full(folder), ": ", error.message());
    above_.pop_back();
  }

  void add(const std::string& relative) {
    const struct stat info = stat_of(full(relative));
    if (S_ISREG(info.st_mode)) {
      files_.push_back(relative);
    } else if (!S_ISDIR(info.st_mode)) {
      log_warning("left out ", full(relative), ": it is neither a file nor a directory");
    } else if (std::ranges::find(above_, Identity(info.st_dev, info.st_ino)) != above_.end()) {
      log_warning("left out ", full(relative), ": it links back to a directory it lies in");
    } else {
      visit(relative, info);
    }
  }

  std::string root_;
  std::vector<Identity> above_;  // the directories being visited, from the root down
  std::vector<std::string> files_;
};

}  // namespace

std::vector<InputFile> list_input_files(const std::string& input) {
  RR_CHECK_INPUT(!input.empty(),
                 "the input's name is empty; name a file, a directory, or - for standard input");
  if (is_standard_input(input)) return {{input, without_compression("stdin" + input.substr(1))}};
  if (!S_ISDIR(stat_of(input).st_mode)) {
    return {{input, without_compression(fs::path(input).filename().string())}};
  }
  std::vector<InputFile> files;
  for (const std::string& relative : Walk(input).files()) {
    files.push_back({(fs::path(input) / relative).string(), without_compression(relative)});
  }
  RR_CHECK_INPUT(!files.empty(), "the directory ", input,
                 " holds no documents (names that start with a dot are left out)");
  return files;
}

}  // namespace riverrun::text
