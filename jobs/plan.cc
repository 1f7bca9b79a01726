// riverrun plan: what a job would do, without doing it.

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "checkpoint/checkpoint.h"
#include "core/error.h"
#include "core/progress.h"
#include "jobs/commands.h"
#include "jobs/run/embedding_model.h"
#include "jobs/run/file_spec.h"
#include "jobs/run/first_pass.h"
#include "jobs/run/machine.h"
#include "kernels/table.h"
#include "plan/forecast.h"

namespace riverrun::jobs {

namespace {

struct PlanOptions {
  CorpusJobOptions common;
  std::string job = "embed";
  Index tokens = 0;
  double gflops = 400, state_gflops = 50, hop_microseconds = 60;
  double gpu_gib = 0;
  bool blocks = false;
};

// The documents' lengths, as a corpus without its tokens.
text::Corpus read_corpus(const PlanOptions& options, const model::Config& config, ring::Request& request) {
  constexpr Index kMostTokens = Index{1} << 30;  // the plan lists every block
  if (options.tokens != 0) {
    check_range("--tokens", options.tokens, 1, kMostTokens);
    RR_CHECK_INPUT(options.common.input.empty(), "--tokens stands in place of --input; say one of them");
    return {{{"document", 0, options.tokens, 0, ""}}, options.tokens};
  }
  RR_CHECK_INPUT(!options.common.input.empty(), "say what to plan for: --input PATH or --tokens T");
  const std::string spool = (std::filesystem::temp_directory_path() / concat("riverrun-plan-", ::getpid(), ".tokens")).string();
  const auto& o = options.common;
  FirstPass pass = read_input({o.model, o.input, o.tokenizer, spool, o.start_token, o.end_token,
                               options.job == "score" ? 0 : -1,
                               options.job == "embed" && is_embedding_model(config) ? kEmbeddingEndToken : -1, o.keep_invalid_utf8, config.vocab});
  std::filesystem::remove(spool);
  request.start_tokens = pass.start_token >= 0 ? 1 : 0;
  return pass.corpus;
}

void print_line(const char* name, const std::string& value) { std::printf("  %-26s %s\n", name, value.c_str()); }
std::string mebibytes(Index bytes) { char text[32]; std::snprintf(text, sizeof text, "%.1f MiB", double(bytes) / 1048576); return text; }

// A twentieth is left to the driver. Carries are in the host's memory.
void print_gpu(double gibibytes, const model::DeviceMemory& memory, Index B) {
  const auto room = static_cast<Index>(0.95 * gibibytes * 1073741824);
  constexpr Index kChunk = plan::Options{}.chunk_tokens;
  const Index most = memory.block_tokens_in(room) / kChunk * kChunk;
  char name[40];
  std::snprintf(name, sizeof name, "a GPU of %g GiB", gibibytes);
  print_line(name, most < kChunk ? concat("too small: weights and libraries take ", mebibytes(memory.total(0)), ", and ", mebibytes(room), " are to be had")
                  : most < B     ? concat("needs smaller blocks: at most --block-tokens ", most)
                                 : concat("fits, with ", mebibytes(memory.total(B)), "; blocks may have up to ", most, " tokens"));
}

void print_blocks(const plan::Plan& plan) {
  std::printf("\n  block  rank  from block  start  tokens  slices\n");
  for (std::size_t b = 0; b < plan.blocks.size(); ++b) {
    const plan::Block& block = plan.blocks[b];
    std::printf("  %5zu %5d %11s %6lld %7lld  ", b, block.rank, block.previous < 0 ? "-" : std::to_string(block.previous).c_str(),
                static_cast<long long>(block.start), static_cast<long long>(block.tokens));
    for (const plan::Slice& slice : block.slices) {
      std::printf("%lld:%lld+%lld ", static_cast<long long>(slice.document), static_cast<long long>(slice.first_token),
                  static_cast<long long>(slice.tokens));
    }
    std::printf("\n");
  }
}

}  // namespace

int run_plan(int argc, const char* const* argv) {
  namespace po = boost::program_options;
  PlanOptions options;
  CorpusJobOptions& common = options.common;
  po::options_description own("Planning", 100);
  own.add_options()
      ("model,m", po::value(&common.model)->value_name("FILE")->required(), "weights; only names and shapes are read")
      ("input,i", po::value(&common.input)->value_name("PATH"), "the documents, as for embed")
      ("tokens", po::value(&options.tokens)->value_name("T"), "instead of --input: one document of T tokens")
      ("job", po::value(&options.job)->default_value(options.job)->value_name("NAME"), "embed or score: score also computes the head")
      ("tokenizer", po::value(&common.tokenizer)->value_name("FILE"), kTokenizerHelp)
      ("ranks", po::value(&common.ranks)->default_value(1)->value_name("P"), "how many ranks to plan for")
      ("block-tokens", po::value(&common.block_tokens)->default_value(0)->value_name("B"), "tokens per block; 0: chosen")
      ("weights", po::value(&common.weights)->default_value("auto")->value_name("TYPE"), "of the large matrices: auto or int8")
      ("start-token", po::value(&common.start_token)->default_value("auto")->value_name("ID"), "as for embed and score")
      ("end-token", po::value(&common.end_token)->default_value("auto")->value_name("ID"), "as for embed and score")
      ("gflops", po::value(&options.gflops)->default_value(options.gflops)->value_name("G"), "matrix rate of one rank, GFLOP/s")
      ("state-gflops", po::value(&options.state_gflops)->default_value(options.state_gflops)->value_name("G"),
       "rate of one rank in the recurrence, GFLOP/s")
      ("hop-us", po::value(&options.hop_microseconds)->default_value(options.hop_microseconds)->value_name("U"),
       "time for one layer's state from rank to rank, microseconds")
      ("gpu-memory", po::value(&options.gpu_gib)->value_name("GIB"), "of one GPU, GiB: says whether a rank fits, with which blocks")
      ("blocks", po::bool_switch(&options.blocks), "print every block: document:first token+tokens");
  if (!parse(argc, argv, "riverrun plan\nblocks, ranks, memory and time of a job, without running it", own)) return 0;
  check_range("--ranks", common.ranks, 1, Index{1} << 20);
  check_range("--block-tokens", common.block_tokens, 0, Index{1} << 24);
  RR_CHECK_INPUT(options.job == "embed" || options.job == "score", "--job '", options.job, "' is none of embed, score");
  RR_CHECK_INPUT(options.gflops > 0 && options.state_gflops > 0 && options.hop_microseconds >= 0, "rates must be positive");
  RR_CHECK_INPUT(options.gpu_gib >= 0 && options.gpu_gib < 1e6, "--gpu-memory ", options.gpu_gib, " is no memory of a GPU in GiB");

  const auto file = checkpoint::open_checkpoint(common.model);
  const model::Config config = model::read_config(*file);
  RR_CHECK_INPUT(options.job != "score" || config.has_head, common.model, ": has no head, which --job score needs");
  ring::Request request;
  (options.job == "score" ? request.scores : request.embedding) = true;
  const text::Corpus corpus = read_corpus(options, config, request);
  std::vector<Index> lengths;
  for (const auto& document : corpus.documents) lengths.push_back(document.length);
  const Index longest = *std::max_element(lengths.begin(), lengths.end());
  const Index B = choose_block_tokens(common.block_tokens, longest, options.gpu_gib > 0 ? DeviceKind::cuda : DeviceKind::cpu);
  plan::Options plan_options;
  plan_options.ranks = static_cast<int>(common.ranks);
  plan_options.block_tokens = B;
  plan_options.cost.layers = config.layers;
  const plan::Plan plan = plan::make_plan(lengths, plan_options);
  const DType weights = model::parse_weights(common.weights, config.weights);
  model::Cost cost = model::estimate_cost(config, config.weights, weights);
  if (options.job != "score") cost.weight_bytes -= cost.head_bytes;  // it is not loaded
  const model::StateShape state = model::state_shape(config);
  const plan::Machine machine{config.layers, config.channels, state.layer_floats() * Index{sizeof(float)},
                              cost.layer_flops + (options.job == "score" ? cost.head_flops : 0), cost.state_flops,
                              options.gflops * 1e9, options.state_gflops * 1e9, options.hop_microseconds * 1e-6,
                              cost.weight_bytes, cost.activation_bytes};
  const plan::Forecast forecast = plan::make_forecast(plan, machine);

  std::printf("%s, %lld layers of %lld channels; %zu documents, %s tokens, longest %s\n", config.generation.c_str(),
              static_cast<long long>(config.layers), static_cast<long long>(config.channels), lengths.size(),
              short_number(double(plan.tokens)).c_str(), short_number(double(longest)).c_str());
  print_line("blocks", concat(plan.blocks.size(), " of up to ", B, " tokens, over ", common.ranks, " ranks"));
  print_line("carries handed on", concat(plan.edges, ", ", mebibytes(forecast.bytes_per_edge), " each; ",
                                         mebibytes(forecast.bytes_sent), " travel between ranks"));
  print_line("memory per rank", concat(mebibytes(forecast.memory_per_rank), ", of which ", mebibytes(cost.weight_bytes),
                                       " are weights, one copy for all ranks of a node"));
  if (options.gpu_gib > 0) {
    const bool scores = options.job == "score";
    const model::Use use{.block_tokens = B, .means = !scores, .scores = scores};
    print_gpu(options.gpu_gib, model::device_memory(config, config.weights, weights, scores, use), B);
  }
  print_line("output file", mebibytes(output::payload_bytes(make_file_spec(options.job, request, false, config, corpus, nullptr))));
  std::printf("\nforecast, at %.0f GFLOP/s in products, %.0f in the recurrence, %.0f us per hop\n", options.gflops,
              options.state_gflops, options.hop_microseconds);
  print_line("time", concat(short_time(forecast.seconds), ", ", short_number(forecast.tokens_per_second), " tokens/s"));
  char text[96];
  std::snprintf(text, sizeof text, "%.1f %%", 100 * forecast.efficiency);
  print_line("efficiency", text);
  std::snprintf(text, sizeof text, "P_max = L / (f + h/c) = %lld / (%.3f + %.3f) = %.0f", static_cast<long long>(config.layers),
                forecast.state_share, forecast.hop_share, forecast.most_ranks);
  print_line("ranks one document can use", text);
  if (double(common.ranks) > forecast.most_ranks) {
    std::printf("  note: %lld ranks are more than one document can use; the rest work only on other documents\n",
                static_cast<long long>(common.ranks));
  }
  if (options.blocks) print_blocks(plan);
  return 0;
}

}  // namespace riverrun::jobs
