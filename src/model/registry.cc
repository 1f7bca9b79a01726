// The generations that this build can run: one line each.

#include <array>
#include <optional>

#include "core/error.h"
#include "core/log.h"
#include "model/initial_state.h"
#include "model/rwkv4.h"
#include "model/rwkv5.h"
#include "model/rwkv6.h"
#include "model/rwkv7.h"

namespace riverrun::model {

namespace {

constexpr std::array kGenerations = {
    &kRwkv4, &kRwkv50, &kRwkv51, &kRwkv52, &kRwkv6, &kRwkv7, &kRwkv7a,
};

const Generation& find_generation(const std::string& name, const std::string& path) {
  std::string known;
  for (const Generation* generation : kGenerations) {
    if (name == generation->name) return *generation;
    known += concat(known.empty() ? "" : ", ", generation->name);
  }
  throw InputError(concat(path, ": this is an ", name, " checkpoint; this version runs: ", known));
}

// The one that the user names, else the one that the checkpoint brings, else none.
std::optional<State> choose_initial_state(const checkpoint::Checkpoint& file, const Generation& generation, const Config& config,
                                          const std::string& path) {
  const StateShape shape = generation.state_shape(config);
  if (generation.tunable) return path.empty() ? find_tuned_state(file, config, shape) : read_tuned_state(path, config, shape);
  RR_CHECK_INPUT(path.empty(), path, ": ", generation.name, " models take no initial state");
  return std::nullopt;
}

DType choose_precision(const std::string& name, const Config& config, const kernels::KernelTable& kernels) {
  DType type;
  if (name == "auto") {
    // bf16 weights lose nothing as bf16 operands; anything else is computed as the fp32 reference.
    type = config.weights == DType::bf16 && kernels.multiplies_fast(DType::bf16) ? DType::bf16 : DType::f32;
  } else if (name == "fp32") {
    type = DType::f32;
  } else if (name == "bf16") {
    type = DType::bf16;
  } else if (name == "fp16") {
    type = DType::f16;
  } else {
    throw InputError("precision '" + name + "' is none of auto, fp32, bf16, fp16");
  }
  RR_CHECK_INPUT(kernels.multiplies(type), "the ", kernels.backend, " backend cannot multiply ", name_of(type),
                 " on this machine; use --precision fp32");
  return type;
}

DType choose_weights(const std::string& name, DType operand, const kernels::KernelTable& kernels) {
  const DType type = parse_weights(name, operand);
  if (type != DType::i8) return type;
  RR_CHECK_INPUT(kernels.multiplies(type), "the ", kernels.backend, " backend has no int8 weights; use --weights auto");
  if (!kernels.multiplies_fast(type)) {
    log_warning("the ", kernels.backend, " backend has no instructions for int8 products here: --weights int8 saves memory, and time only where texts are written");
  }
  return type;
}

void check_fits(Device& device, const DeviceMemory& need, const Use& use, const std::string& path) {
  if (device.kind() == DeviceKind::cpu) return;
  const Index left = device.free_bytes();
  const auto mebibytes = [](Index bytes) { return concat((bytes + (1 << 20) - 1) >> 20, " MiB"); };
  RR_CHECK_INPUT(need.total(use.block_tokens) <= left, path, ": this job takes about ", mebibytes(need.total(use.block_tokens)),
                 " of the GPU's memory, of which ", mebibytes(left), " are free: ", mebibytes(need.weights), " for weights, ",
                 mebibytes(need.reading + need.reading_token * use.block_tokens), " for blocks of ", use.block_tokens, " tokens, ",
                 mebibytes(need.writing), " for texts, the rest for libraries; use smaller --block-tokens, --precision bf16, a GPU with"
                 " more memory, or --backend cpu");
}

}  // namespace

DType parse_weights(const std::string& weights, DType operand) {
  RR_CHECK_INPUT(weights == "auto" || weights == "int8", "--weights '", weights, "' is none of auto, int8");
  return weights == "int8" ? DType::i8 : operand;
}

Config read_config(const checkpoint::Checkpoint& file) {
  const Generation& generation = find_generation(detect_generation(file), file.path());
  Config config = read_shared_config(file, generation.name);
  generation.complete_config(file, config);
  return config;
}

StateShape state_shape(const Config& config) { return find_generation(config.generation, "").state_shape(config); }

Cost estimate_cost(const Config& config, DType operand, DType weights) {
  return find_generation(config.generation, "").cost(config, operand, weights);
}

std::unique_ptr<Model> load_model(const std::string& path, const kernels::KernelTable& kernels, Stream stream,
                                  const LoadOptions& options) {
  const auto file = checkpoint::open_checkpoint(path);
  const Config config = read_config(*file);
  RR_CHECK_INPUT(config.has_head || !options.need_head, path,
                 ": there is no head.weight, so this model embeds but cannot score or generate");
  const Generation& generation = find_generation(config.generation, path);
  const auto initial = choose_initial_state(*file, generation, config, options.initial_state);
  const DType operand = choose_precision(options.precision, config, kernels);
  const DType weights = choose_weights(options.weights, operand, kernels);
  const Use use = options.use ? options.use(generation.state_shape(config)) : Use{};
  check_fits(*stream.device, device_memory(config, operand, weights, options.need_head, use), use, path);
  return generation.load({*file, config, kernels, stream, operand, weights,
                          options.need_head, initial ? &*initial : nullptr, *options.storage});
}

}  // namespace riverrun::model
