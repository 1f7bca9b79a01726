#include "jobs/options.h"

#include <charconv>
#include <filesystem>
#include <iostream>
#include <limits>

#include "core/error.h"
#include "jobs/open_text.h"

namespace riverrun::jobs {

namespace po = boost::program_options;
namespace fs = std::filesystem;

std::string output_place(const std::string& option, const std::string& name) {
  RR_CHECK_INPUT(!name.empty(), option, " is empty; name a file");
  constexpr int kMostLinks = 40;  // as Linux has it
  std::error_code error;  // of a file that is not there, too
  fs::path place(name);
  int links = 0;
  for (; fs::is_symlink(fs::symlink_status(place, error)); ++links) {
    RR_CHECK_INPUT(links < kMostLinks, option, " ", name, " is a link that leads to itself");
    place = place.parent_path() / fs::read_symlink(place);  // which may be absolute
  }
  if (links > 0) place = fs::weakly_canonical(place);
  const auto status = fs::status(place, error);
  RR_CHECK_INPUT(status.type() != fs::file_type::none, option, " ", name, ": ", error.message());
  RR_CHECK_INPUT(fs::is_regular_file(status) || fs::is_directory(status) || !fs::exists(status), option, " ", name,
                 " is not a regular file; name another");
  return place.string();
}

po::typed_value<std::string>* output_option(std::string& place) {
  return po::value<std::string>()->notifier([&place](const std::string& name) { place = output_place("--output", name); })->value_name("FILE");
}

po::options_description describe(CorpusJobOptions& o) {
  po::options_description files("Files", 100);
  files.add_options()
      ("model,m", po::value(&o.model)->value_name("FILE")->required(), "weights: .pth, .safetensors or .gguf, or a folder as it lies on the Hub")
      ("input,i", po::value(&o.input)->value_name("PATH")->required(),
       "a text file, a directory, a .jsonl file, each also .gz or .zst, or - for standard input")
      ("output,o", output_option(o.output)->required(), "the HDF5 file to write")
      ("tokenizer", po::value(&o.tokenizer)->value_name("FILE"), kTokenizerHelp)
      ("initial-state", po::value(&o.initial_state)->value_name("FILE"),
       "weights file with time_state tensors: the state that every document starts from, in place of the model's own")
      ("shard", po::value<std::string>()->notifier([&o](const std::string& value) { o.shard = parse_shard(value); })->value_name("I/N"),
       "only documents I, I + N, I + 2 N, ... of the input: the part of one task of a job array; riverrun merge joins the outputs")
      ("resume", po::bool_switch(&o.resume), "go on with an unfinished output: only documents not done are computed")
      ("overwrite", po::bool_switch(&o.overwrite), "replace an existing output")
      ("keep-invalid-utf8", po::bool_switch(&o.keep_invalid_utf8),
       "tokenise text that is not UTF-8 byte by byte, instead of marking the document failed (text files only)");
  po::options_description blocks("How it reads", 100);
  blocks.add_options()
      ("block-tokens", po::value(&o.block_tokens)->default_value(o.block_tokens)->value_name("B"),
       "tokens a rank takes through the layers at once, a multiple of 16; 0: chosen, up to 512, on a GPU 4096")
      ("start-token", po::value(&o.start_token)->default_value(o.start_token)->value_name("ID"),
       "put before every document: an id, none, or auto (score: 0 before text, none before given tokens; summarize: 0; "
       "embed and --extractive: none)")
      ("end-token", po::value(&o.end_token)->default_value(o.end_token)->value_name("ID"),
       "put after every document: an id, none, or auto (none; embed, after text, 65535 for an RWKV-7 without a head and with "
       "65,536 rows)")
      ("checkpoint-seconds", po::value(&o.checkpoint_seconds)->default_value(o.checkpoint_seconds)->value_name("S"),
       "how often the place reached inside long documents is kept, for --resume; 0: never")
      ("verify", po::value(&o.verify)->default_value(o.verify)->value_name("N"),
       "when all is read, the next rank computes N blocks of each rank again, which must come to the same bytes; 0: none; "
       "at most 1024")
      ("trace", po::value(&o.trace)->value_name("FILE"), "a timeline of all ranks, for ui.perfetto.dev");
  return po::options_description().add(files).add(blocks).add(describe_run(o));
}

po::options_description describe_run(CorpusJobOptions& o) {
  po::options_description run("How it runs", 100);
  run.add_options()
      ("backend", po::value(&o.backend)->default_value(o.backend)->value_name("NAME"), kBackendHelp)
      ("precision", po::value(&o.precision)->default_value(o.precision)->value_name("TYPE"),
       "of matrix operands: auto, fp32, bf16 or fp16; sums and states are always fp32")
      ("weights", po::value(&o.weights)->default_value(o.weights)->value_name("TYPE"),
       "of the large matrices: auto, as --precision says, or int8: a quarter of the memory of fp32, less exact")
      ("transport", po::value(&o.transport)->default_value(o.transport)->value_name("NAME"),
       "auto, self, threads, mpi or nccl; auto is mpi under mpirun or srun, nccl is for --backend cuda")
      ("ranks", po::value(&o.ranks)->default_value(o.ranks)->value_name("P"), "ranks of the threads transport, at most 1024")
      ("threads", po::value(&o.threads)->default_value(o.threads)->value_name("N"),
       "threads per rank; 0: the cores this rank may use")
      ("share-weights", po::value(&o.share_weights)->default_value(o.share_weights)->value_name("HOW"),
       "one copy in memory for all MPI ranks of a node: auto (where the system lets them), on (or fail), or off")
      ("timeout", po::value(&o.timeout_seconds)->default_value(o.timeout_seconds)->value_name("S"),
       "seconds after which a silent rank, or a wait in which no rank makes progress, ends the job")
      ("synchronous-sends", po::bool_switch(&o.synchronous_sends),
       "every MPI send waits for its receive: proves that nothing relies on buffering");
  po::options_description show("What it shows", 100);
  show.add_options()
      ("progress", po::value(&o.progress)->default_value(o.progress)->value_name("STYLE"),
       "bar: one line that is rewritten; log: a line every 30 s; auto: bar on a terminal, else log; none")
      ("log-level", po::value(&o.log_level)->default_value(o.log_level)->value_name("LEVEL"), "debug, info, warning or error");
  return po::options_description().add(run).add(show);
}

bool parse(int argc, const char* const* argv, const std::string& usage, po::options_description options,
           std::vector<std::string>* files) {
  po::options_description general("General", 100);
  std::string config;
  general.add_options()
      ("config", po::value(&config)->value_name("FILE"), "read options from an INI file: lines of name = value (flags: resume = true; no short "
       "names); the command line wins")
      ("help,h", "show this text");
  options.add(general);
  po::options_description all = options;
  po::positional_options_description words;
  if (files) {
    all.add_options()("file", po::value(files));
    words.add("file", -1);
  }
  po::variables_map values;
  std::string where;  // the file that an option stands in
  try {
    // No guessing: --mod must not mean --model, since a later option could change what it means.
    const auto style = po::command_line_style::default_style & ~po::command_line_style::allow_guessing;
    po::store(po::command_line_parser(argc, argv).options(all).positional(words).style(style).run(), values);
    if (values.count("help")) {
      std::cout << usage << "\n" << options;
      return false;
    }
    if (values.count("config")) {
      const auto path = values["config"].as<std::string>();
      std::ifstream file = open_text("--config", path);
      where = path + ": ";
      const auto in_file = po::parse_config_file(file, options);
      RR_CHECK_INPUT(!file.bad(), with_errno("cannot read --config " + path));
      for (const auto& option : in_file.options) {
        RR_CHECK_INPUT(option.string_key != "config", "--config ", path, " names another file of options; name that instead");
      }
      po::store(in_file, values);
      where.clear();
    }
    po::notify(values);
  } catch (const po::error& error) {
    const std::string command = usage.substr(0, usage.find_first_of(" \n", usage.find(' ') + 1));  // what follows are its words
    throw InputError(concat(where, error.what(), "; see ", command, " --help"));
  }
  return true;
}

Index parse_token_option(const std::string& option, const std::string& value) {
  if (value == "none") return -1;
  if (value == "auto") return -2;
  Index id = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), id);
  RR_CHECK_INPUT(error == std::errc() && end == value.data() + value.size() && id >= 0 && id <= std::numeric_limits<TokenId>::max(),
                 option, " '", value, "' is none of auto, none, or a token id");
  return id;
}

std::optional<DType> parse_weight_type(const std::string& name) {
  for (const DType type : {DType::f32, DType::bf16, DType::f16}) {
    if (name == name_of(type)) return type;
  }
  return std::nullopt;
}

Shard parse_shard(const std::string& value) {
  Shard shard;
  const char* const end = value.data() + value.size();
  const auto [slash, error] = std::from_chars(value.data(), end, shard.number);
  bool good = error == std::errc() && slash != end && *slash == '/';
  if (good) {
    const auto [rest, second_error] = std::from_chars(slash + 1, end, shard.count);
    good = second_error == std::errc() && rest == end && shard.number >= 1 && shard.number <= shard.count;
  }
  RR_CHECK_INPUT(good, "--shard '", value, "' is not I/N with 1 <= I <= N, such as 3/8");
  return shard;
}

void check_range(const std::string& option, Index value, Index least, Index most) {
  RR_CHECK_INPUT(value >= least && value <= most, option, " ", value, " is not between ", least, " and ", most);
}

}  // namespace riverrun::jobs
