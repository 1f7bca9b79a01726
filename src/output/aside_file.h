// AsideFile: a file that is made under another name and takes its own when all of it is on the disk.
#pragma once

#include <string>

#include "output/raw_file.h"

namespace riverrun::output {

class AsideFile {
 public:
  // Makes it, empty; what an earlier run has left under this name is replaced. InputError when it cannot be made.
  explicit AsideFile(const std::string& path);
  // Removes it, unless it was renamed.
  ~AsideFile();
  AsideFile(const AsideFile&) = delete;
  AsideFile& operator=(const AsideFile&) = delete;

  RawFile& file() { return file_; }
  const std::string& path() const { return file_.path(); }
  // Brings it to the disk and gives it its name, which is durable after sync_directory_of(path). Error also when another
  // process has removed or replaced it.
  void rename_to(const std::string& path);

 private:
  RawFile file_;
  bool renamed_ = false;
};

}  // namespace riverrun::output
