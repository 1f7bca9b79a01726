// Options of the program: what can be said on the command line and in a configuration file.
#pragma once

#include <boost/program_options.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/types.h"

namespace riverrun::jobs {

// --shard I/N: documents I, I + N, I + 2 N, ... of the input, counted from 1. 1/1 is all of it.
struct Shard {
  Index number = 1, count = 1;
};

// Options that every job over a corpus has.
struct CorpusJobOptions {
  std::string model, input, output, tokenizer, initial_state;
  std::string backend = "auto", precision = "auto", weights = "auto", transport = "auto",
              share_weights = "auto";
  Index ranks = 1, threads = 0, block_tokens = 0;
  bool resume = false, overwrite = false, keep_invalid_utf8 = false, synchronous_sends = false;
  std::string start_token = "auto", end_token = "auto";
  std::string progress = "auto", log_level = "info", trace;
  double timeout_seconds = 60, checkpoint_seconds = 300;
  Index verify = 0;
  Shard shard;
};

// Help of options that more than one command describes by itself.
inline constexpr const char* kTokenizerHelp = "vocabulary; default: RIVERRUN_VOCAB, else one beside the model, in it, or in data/";
inline constexpr const char* kBackendHelp = "cpu, reference or cuda; auto: cpu (reference if that is not built), never cuda";

boost::program_options::options_description describe(CorpusJobOptions& options);
// Of these, what every job that computes has: backend, precision, weights, transport, ranks, threads, what it shows.
boost::program_options::options_description describe_run(CorpusJobOptions& options);

// Parses argv after the command's name, and the file that --config names (the same options as `name = value`
// lines; the command line wins). Returns false when --help was asked for and has been printed. Throws InputError
// for whatever is not understood. `files` receives the words that belong to no option; null: there may be none.
bool parse(int argc, const char* const* argv, const std::string& usage, boost::program_options::options_description options,
           std::vector<std::string>* files = nullptr);

// The file that the name of an output stands for: what a link leads to, so that its lock, its checkpoints and what it is written under
// before it is complete stand beside it. InputError for an empty name, and for what is there and neither a regular file nor a directory.
std::string output_place(const std::string& option, const std::string& name);
// The value of --output, which becomes its output_place().
boost::program_options::typed_value<std::string>* output_option(std::string& place);

// "auto", "none" or an id. Returns -1 for none, -2 for auto; InputError for anything else, naming the option.
Index parse_token_option(const std::string& option, const std::string& value);

// The type of weights that "fp32", "bf16" or "fp16" names; none for anything else.
std::optional<DType> parse_weight_type(const std::string& name);

// "I/N" with 1 <= I <= N; InputError for anything else.
Shard parse_shard(const std::string& value);

// InputError unless the value lies in [least, most].
void check_range(const std::string& option, Index value, Index least, Index most);

}  // namespace riverrun::jobs
