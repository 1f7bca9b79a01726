// The program `riverrun`: the first word names the job, and here is the one place where an error becomes a message
// and an exit code.

#include <iostream>
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

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const Error& error) {
    // Under mpirun every rank finds the same mistake on the command line: one of them says so.
    if (jobs::launched_rank() == 0 || error.code() == ExitCode::failed) log_error(error.what());
    return static_cast<int>(error.code());
  } catch (const std::exception& error) {
    log_error("unexpected: ", error.what());
    return static_cast<int>(ExitCode::failed);
  }
}
