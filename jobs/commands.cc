#include "jobs/commands.h"

#include <array>

namespace riverrun::jobs {

std::span<const Command> commands() {
  static constexpr std::array kCommands = {
      Command{"embed", "one vector per document, and per passage with --window", run_embed},
      Command{"score", "the log-probability of every token", run_score},
      Command{"summarize", "texts about documents: one each, one per section, or a hierarchy", run_summarize},
      Command{"ask", "answers from the states of documents, without reading them again", run_ask},
      Command{"plan", "what a job would do: blocks, ranks, memory, time", run_plan},
      Command{"merge", "one output from those of the shards of a corpus", run_merge},
      Command{"convert", "any checkpoint as .safetensors with the official names", run_convert},
      Command{"inspect", "what a checkpoint or an output file holds", run_inspect},
      Command{"bench", "how fast this machine runs a model, and how fast it could", run_bench},
  };
  return kCommands;
}

}  // namespace riverrun::jobs
