// ScratchFile: a file that goes when its owner does.
#pragma once

#include <string>

namespace riverrun::jobs {

class ScratchFile {
 public:
  // A name that no file has: `beside`, process, random digits, `suffix`. The file itself is made by others.
  ScratchFile(const std::string& beside, const std::string& suffix);
  ~ScratchFile() { remove(); }
  ScratchFile(const ScratchFile&) = delete;
  ScratchFile& operator=(const ScratchFile&) = delete;

  const std::string& path() const { return path_; }
  // Takes the name away; whoever has the file open may go on reading.
  void remove();
  // Removes the files that killed owners have left, and says so. No owner may be at work with these two names.
  static void remove_left_behind(const std::string& beside, const std::string& suffix);

 private:
  std::string path_;
};

}  // namespace riverrun::jobs
