// make_random_model: writes a checkpoint of any generation with random weights from a seed, for demonstrations and benchmarks. It knows
// nothing: its numbers mean nothing.

#include "checkpoint/random_model.h"
#include "core/error.h"
#include "core/log.h"
#include "jobs/bench/known_shapes.h"
#include "jobs/options.h"

namespace {

using namespace riverrun;

int run(int argc, const char* const* argv) {
  namespace po = boost::program_options;
  checkpoint::RandomModelShape shape;
  std::string output, size, dtype = "bf16";
  bool headless = false;
  po::options_description own("Shape", 100);
  own.add_options()
      ("output,o", po::value(&output)->value_name("FILE")->required(), "the .safetensors file to write")
      ("generation", po::value(&shape.generation)->default_value(shape.generation)->value_name("NAME"),
       "rwkv4, rwkv5.0, rwkv5.1, rwkv5.2, rwkv6, rwkv7 or rwkv7a")
      ("shape", po::value(&size)->value_name("SIZE"), "layers, channels and inner sizes as released: 0.1b, 0.4b, 1.5b, ...")
      ("layers", po::value(&shape.layers)->default_value(shape.layers), "layers")
      ("channels", po::value(&shape.channels)->default_value(shape.channels), "channels, a multiple of the head size")
      ("head-size", po::value(&shape.head_size)->default_value(shape.head_size), "channels per head")
      ("vocab", po::value(&shape.vocab)->default_value(shape.vocab), "rows of the embedding")
      ("ffn", po::value(&shape.ffn)->default_value(shape.ffn), "feed-forward width; 0: as in the released models")
      ("rank-decay", po::value(&shape.rank_w)->default_value(shape.rank_w), "inner size of the decay LoRA")
      ("rank-rate", po::value(&shape.rank_a)->default_value(shape.rank_a), "inner size of the in-context learning rate LoRA")
      ("rank-value", po::value(&shape.rank_v)->default_value(shape.rank_v), "inner size of the value LoRA")
      ("rank-gate", po::value(&shape.rank_g)->default_value(shape.rank_g), "inner size of the gate LoRA")
      ("rank-shift", po::value(&shape.rank_shift)->default_value(shape.rank_shift), "inner size of the token-shift LoRAs (rwkv6)")
      ("rank-embed", po::value(&shape.rank_embed)->default_value(shape.rank_embed), "inner size of DeepEmbed (rwkv7a)")
      ("time-state", po::bool_switch(&shape.time_state), "add a tuned initial state (rwkv5.2, 6, 7)")
      ("dtype", po::value(&dtype)->default_value(dtype), "bf16, fp16 or fp32")
      ("headless", po::bool_switch(&headless), "leave out head.weight")
      ("seed", po::value(&shape.seed)->default_value(shape.seed), "same seed and shape: same bytes");
  if (!jobs::parse(argc, argv, "make_random_model\na checkpoint with random weights", own)) return 0;
  if (!size.empty()) {
    const auto known = jobs::known_shape(shape.generation, size);
    shape.layers = known.layers, shape.channels = known.channels;
    shape.rank_w = known.rank_w, shape.rank_a = known.rank_a, shape.rank_v = known.rank_v, shape.rank_g = known.rank_g;
    shape.rank_shift = known.rank_shift;
  }
  const std::optional<DType> type = jobs::parse_weight_type(dtype);
  RR_CHECK_INPUT(type, "--dtype '", dtype, "' is none of bf16, fp16, fp32");
  shape.dtype = *type;
  shape.head = !headless;
  checkpoint::write_random_model(output, shape);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const riverrun::Error& error) {
    riverrun::log_error(error.what());
    return static_cast<int>(error.code());
  }
}
