// Errors: one exception type, its text and the exit code it ends the program with.
//
// An Error says what went wrong, where (file, line, document, rank) and what to do. It is thrown for whatever
// ends the job; trouble with one document is not an Error but that document's status. Broken invariants use
// RR_CHECK, wrong input or usage RR_CHECK_INPUT; both are always on and cost nothing until they fail.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace riverrun {

// What the program returns to the shell. Scripts rely on these numbers.
enum class ExitCode : int { done = 0, failed = 1, bad_input = 2, some_documents_failed = 3, stopped = 75 };

class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message, ExitCode code = ExitCode::failed)
      : std::runtime_error(message), code_(code) {}
  ExitCode code() const { return code_; }

 private:
  ExitCode code_;
};

// Wrong usage, or a file from outside that is not what it should be: exit code 2.
class InputError : public Error {
 public:
  explicit InputError(const std::string& message) : Error(message, ExitCode::bad_input) {}
};

// "a", 1, "b" -> "a1b"
template <class... Parts>
std::string concat(const Parts&... parts) {
  std::ostringstream out;
  static_cast<void>((out << ... << parts));
  return out.str();
}

// Adds the system's words for errno: "cannot open x.pth: No such file or directory".
std::string with_errno(const std::string& what);

namespace detail {
[[noreturn]] void check_failed(const char* expression, const char* file, int line, const std::string& message);
}  // namespace detail

}  // namespace riverrun

// Ends the job when one of our own invariants does not hold.
#define RR_CHECK(condition, ...)                                                                                \
  do {                                                                                                          \
    if (!(condition)) [[unlikely]]                                                                              \
      ::riverrun::detail::check_failed(#condition, __FILE__, __LINE__, ::riverrun::concat(__VA_ARGS__));         \
  } while (false)

// Ends the job when input from outside is wrong; the message alone is shown, so it must stand by itself.
#define RR_CHECK_INPUT(condition, ...)                                                                          \
  do {                                                                                                          \
    if (!(condition)) [[unlikely]]                                                                              \
      throw ::riverrun::InputError(::riverrun::concat(__VA_ARGS__));                                             \
  } while (false)
