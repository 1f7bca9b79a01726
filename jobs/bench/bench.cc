// riverrun bench: how fast this machine runs a model, and how fast it could.

#include "jobs/bench/bench.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <sstream>
#include <thread>

#include "core/error.h"
#include "jobs/commands.h"
#include "jobs/options.h"

namespace riverrun::jobs {

namespace {

struct Benchmark {
  const char* name;
  const char* summary;
  BenchRows (*run)(const BenchOptions& options);
};

constexpr Benchmark kBenchmarks[] = {
    {"kernels", "every operation of a block, one by one", bench_kernels},
    {"prefill", "one document through all layers", bench_prefill},
    {"decode", "one token at a time, for a batch of sequences", bench_decode},
    {"ring", "one document over several ranks: under mpirun, or with --ranks as threads", bench_ring},
    {"tokenizer", "text to token ids, on one core", bench_tokenizer},
};

std::string cell(const BenchRows& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_number_integer()) return std::to_string(value.get<Index>());
  char text[32];
  const double number = value.get<double>();
  std::snprintf(text, sizeof text, number < 1000 ? "%.4g" : "%.0f", number);
  return text;
}

// Columns as wide as their widest cell.
void print_table(const BenchRows& rows) {
  if (rows.empty()) return;
  std::vector<std::vector<std::string>> lines(1);
  for (const auto& [name, value] : rows[0].items()) lines[0].push_back(name);
  for (const auto& row : rows) {
    auto& line = lines.emplace_back();
    for (const auto& [name, value] : row.items()) line.push_back(cell(value));
  }
  for (const auto& line : lines) {
    for (std::size_t c = 0; c < line.size(); ++c) {
      std::size_t width = 0;
      for (const auto& other : lines) width = std::max(width, other[c].size());
      std::cout << (c == 0 ? "" : "  ") << std::string(width - line[c].size(), ' ') << line[c];
    }
    std::cout << "\n";
  }
}

std::vector<Index> parse_batches(const std::string& text) {
  std::vector<Index> batches;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    char* end = nullptr;
    const Index batch = std::strtoll(word.c_str(), &end, 10);
    RR_CHECK_INPUT(*end == '\0', "--batches '", text, "' is no list of numbers");
    check_range("--batches", batch, 1, 4096);
    batches.push_back(batch);
  }
  RR_CHECK_INPUT(!batches.empty(), "--batches is empty");
  return batches;
}

const Benchmark& find_benchmark(const std::vector<std::string>& words) {
  std::string known;
  for (const Benchmark& benchmark : kBenchmarks) {
    if (words.size() == 1 && words[0] == benchmark.name) return benchmark;
    known += concat(known.empty() ? "" : ", ", benchmark.name);
  }
  throw InputError(concat("bench takes one of ", known, "; see riverrun bench --help"));
}

}  // namespace

int run_bench(int argc, const char* const* argv) {
  namespace po = boost::program_options;
  BenchOptions o;
  std::string batches = "1 8 64 256";
  po::options_description own("Measuring", 100);
  own.add_options()
      ("model,m", po::value(&o.model)->value_name("FILE"), "measure this checkpoint, instead of random weights")
      ("generation", po::value(&o.generation)->default_value("rwkv7")->value_name("NAME"),
       "of random weights: rwkv4, rwkv5.0, rwkv5.1, rwkv5.2, rwkv6, rwkv7 or rwkv7a")
      ("shape", po::value(&o.shape)->default_value("0.1b")->value_name("SIZE"),
       "of random weights, as released, e.g. rwkv7: 0.1b, 0.4b, 1.5b, 2.9b, 7.2b, 13.3b; rwkv6: 1.6b, 3b, 7b, 14b")
      ("backend", po::value(&o.backend)->default_value(o.backend)->value_name("NAME"), kBackendHelp)
      ("precision", po::value(&o.precision)->default_value(o.precision)->value_name("TYPE"), "of matrix operands: auto, fp32, bf16 or fp16")
      ("weights", po::value(&o.weights)->default_value(o.weights)->value_name("TYPE"), "of the large matrices: auto or int8")
      ("threads", po::value(&o.threads)->default_value(0)->value_name("N"), "0: all cores")
      ("transport", po::value(&o.transport)->default_value(o.transport)->value_name("NAME"), "ring: auto, self, threads, mpi or nccl")
      ("ranks", po::value(&o.ranks)->default_value(o.ranks)->value_name("P"), "ring: ranks of the threads transport, at most 1024")
      ("tokens", po::value(&o.tokens)->default_value(o.tokens)->value_name("T"), "prefill and ring: length of the document")
      ("block-tokens", po::value(&o.block_tokens)->default_value(o.block_tokens)->value_name("B"), 
       "prefill, ring and kernels: tokens per block; 0: as a job chooses them, up to 512, on a GPU 4096; for ring by --tokens")
      ("batches", po::value(&batches)->default_value(batches)->value_name("LIST"), "decode: numbers of sequences")
      ("tokenizer", po::value(&o.tokenizer)->value_name("FILE"), "tokenizer: the vocabulary")
      ("input", po::value(&o.input)->value_name("PATH"), "tokenizer: the text, as riverrun embed takes it")
      ("rounds", po::value(&o.rounds)->default_value(o.rounds)->value_name("R"), "runs, the best and the median of which count")
      ("json", po::bool_switch(&o.json), "print JSON");
  std::string usage = "riverrun bench";
  for (const Benchmark& benchmark : kBenchmarks) usage += concat(&benchmark == kBenchmarks ? " " : "|", benchmark.name);
  usage += "\nhow fast this machine runs a model, and how fast it could\n";
  for (const Benchmark& benchmark : kBenchmarks) usage += concat("  ", benchmark.name, ": ", benchmark.summary, "\n");
  std::vector<std::string> words;
  if (!parse(argc, argv, usage, own, &words)) return 0;
  const Benchmark& benchmark = find_benchmark(words);
  check_range("--threads", o.threads, 0, 4096);
  check_range("--tokens", o.tokens, 1, Index{1} << 30);
  check_range("--block-tokens", o.block_tokens, 0, Index{1} << 24);
  check_range("--rounds", o.rounds, 1, 1000);
  check_range("--ranks", o.ranks, 1, 1024);
  if (o.threads == 0) o.threads = std::max(1u, std::thread::hardware_concurrency());
  o.batches = parse_batches(batches);
  o.block_tokens = choose_block_tokens(o.block_tokens, benchmark.run == bench_ring ? o.tokens : 0, open_backend(o.backend).device->kind());
  const BenchRows rows = benchmark.run(o);
  if (rows.empty()) return 0;  // another rank has them
  if (o.json) std::cout << rows.dump(2) << "\n";
  else print_table(rows);
  return 0;
}

}  // namespace riverrun::jobs
