// Commands: one line each. A new job is one new file and one line in commands.cc.
#pragma once

#include <span>

namespace riverrun::jobs {

struct Command {
  const char* name;
  const char* summary;
  int (*run)(int argc, const char* const* argv);  // argv[0] is the command's name; returns the exit code
};

std::span<const Command> commands();

int run_embed(int argc, const char* const* argv);
int run_score(int argc, const char* const* argv);
int run_summarize(int argc, const char* const* argv);
int run_ask(int argc, const char* const* argv);
int run_plan(int argc, const char* const* argv);
int run_bench(int argc, const char* const* argv);
int run_convert(int argc, const char* const* argv);
int run_merge(int argc, const char* const* argv);
int run_inspect(int argc, const char* const* argv);

}  // namespace riverrun::jobs
