#include "core/error.h"

#include <cerrno>
#include <cstring>
#include <string_view>

namespace riverrun {

std::string with_errno(const std::string& what) { return what + ": " + std::strerror(errno); }

namespace detail {

void check_failed(const char* expression, const char* file, int line, const std::string& message) {
  // The path as compiled would show where the build happened; the last two parts say enough.
  std::string_view path(file);
  const auto last = path.rfind('/');
  const auto cut = last == std::string_view::npos ? last : path.rfind('/', last - 1);
  if (cut != std::string_view::npos) path.remove_prefix(cut + 1);
  throw Error(concat(message, message.empty() ? "" : " ", "(internal check failed: ", expression, ", ", path, ":", line, ")"));
}

}  // namespace detail
}  // namespace riverrun
