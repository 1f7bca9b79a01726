#include "output/aside_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>

#include "core/error.h"
#include "core/log.h"

namespace riverrun::output {

AsideFile::AsideFile(const std::string& path) {
  if (::unlink(path.c_str()) == 0) log_warning(path, ": left behind by an earlier run, replaced");
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (descriptor < 0) throw InputError(with_errno(path + ": cannot create"));
  ::close(descriptor);
  file_ = RawFile(path);
}

AsideFile::~AsideFile() {
  if (!renamed_) ::unlink(path().c_str());
}

void AsideFile::rename_to(const std::string& path) {
  file_.sync();
  file_.check_still_named();
  if (std::rename(this->path().c_str(), path.c_str()) != 0) throw Error(with_errno(concat(this->path(), ": cannot rename to ", path)));
  renamed_ = true;
}

}  // namespace riverrun::output
