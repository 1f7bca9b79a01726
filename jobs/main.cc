// The program `riverrun`: the first word names the job, and here is the one place where an error becomes a message
// and an exit code.

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <iostream>
#include <new>
#include <string>

#include "core/error.h"
#include "core/log.h"
#include "jobs/commands.h"
#include "jobs/run/machine.h"

namespace {

using namespace riverrun;

void print_usage(std::ostream& out) {
  out << "riverrun " << RIVERRUN_VERSION << ": RWKV language models over very long documents and whole corpora\n\n"
      << "usage: riverrun COMMAND [options]      riverrun COMMAND --help      riverrun --version\n\n";
  for (const jobs::Command& command : jobs::commands()) {
    out << "  " << command.name << std::string(12 - std::string(command.name).size(), ' ') << command.summary << "\n";
  }
  out << "\nexit codes: 0 done; 1 failed; 2 wrong usage or input; 3 done, but some documents failed;\n"
      << "            75 stopped on a signal: run again with --resume (in place of --overwrite)\n";
}

int run(int argc, const char* const* argv) {
  const std::string name = argc > 1 ? argv[1] : "";
  if (name == "--version") {
    std::cout << "riverrun " << RIVERRUN_VERSION << "\n";
    return 0;
  }
  if (name.empty() || name == "--help" || name == "-h" || name == "help") {
    print_usage(name.empty() ? std::cerr : std::cout);
    return name.empty() ? static_cast<int>(ExitCode::bad_input) : 0;
  }
  for (const jobs::Command& command : jobs::commands()) {
    if (name == command.name) return command.run(argc - 1, argv + 1);
  }
  throw InputError("there is no command '" + name + "'; see riverrun --help");
}

// A descriptor that the parent has closed would be given to the first file that is opened, which then takes what is meant for the
// standard stream. Those opened here fail instead where that loses something: standard input when it is read, output when written.
void hold_standard_descriptors() {
  for (const auto& [descriptor, flags] : {std::pair{STDIN_FILENO, O_WRONLY}, {STDOUT_FILENO, O_RDONLY}, {STDERR_FILENO, O_WRONLY}}) {
    if (::fcntl(descriptor, F_GETFD) >= 0) continue;
    if (::open("/dev/null", flags) != descriptor) ::_exit(static_cast<int>(ExitCode::failed));
  }
}

// Of what a command prints, a part may have been lost.
int with_all_printed(int code) {
  std::cout.flush();
  const bool printed = std::fflush(stdout) == 0 && std::ferror(stdout) == 0 && std::cout.good();
  if (printed || (code != 0 && code != static_cast<int>(ExitCode::some_documents_failed))) return code;
  log_error("standard output cannot be written: part of what was to be printed is lost");
  return static_cast<int>(ExitCode::failed);
}

}  // namespace

int main(int argc, char** argv) {
  hold_standard_descriptors();
  // Beyond a limit of file sizes a write then fails with an error, which is told of.
  ::signal(SIGXFSZ, SIG_IGN);
  try {
    return with_all_printed(run(argc, argv));
  } catch (const Error& error) {
    // Under mpirun every rank finds the same mistake on the command line: one of them says so.
    if (jobs::launched_rank() == 0 || error.code() == ExitCode::failed) log_error(error.what());
    return static_cast<int>(error.code());
  } catch (const std::filesystem::filesystem_error& error) {
    if (jobs::launched_rank() == 0) log_error(error.path1().string(), ": ", error.code().message());
    return static_cast<int>(ExitCode::bad_input);
  } catch (const std::bad_alloc&) {
    log_error("out of memory");
    return static_cast<int>(ExitCode::failed);
  } catch (const std::exception& error) {
    log_error("unexpected: ", error.what());
    return static_cast<int>(ExitCode::failed);
  }
}
