// riverrun inspect: what a checkpoint or an output file holds, for people and, with --json, for programs.

#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "checkpoint/checkpoint.h"
#include "core/error.h"
#include "jobs/commands.h"
#include "jobs/options.h"
#include "jobs/run/embedding_model.h"
#include "model/model.h"
#include "output/reader.h"
#include "text/tokenizer_choice.h"

namespace riverrun::jobs {

namespace {

using Json = nlohmann::ordered_json;
constexpr const char* kHdf5Magic = "\x89HDF\r\n\x1a\n";

bool is_hdf5(const std::string& path) {
  if (std::filesystem::is_directory(path)) return false;  // a model as it lies on the Hub
  const MappedFile file(path);
  return file.bytes().size() >= 8 && std::string(reinterpret_cast<const char*>(file.bytes().data()), 8) == kHdf5Magic;
}

// What --tokenizer would come to by itself, in words; or why nothing would.
std::string describe_tokenizer(const std::string& path, const checkpoint::Checkpoint& file, Index rows) {
  try {
    const text::TokenizerChoice choice =
        text::choose_tokenizer({path, "", file.extras().vocabulary, file.extras().vocabulary_kind, rows});
    return concat(choice.tokenizer->name(), " from ", choice.source, " (", choice.why, ")");
  } catch (const InputError& error) {
    return concat("none: ", error.what());
  }
}

Json inspect_checkpoint(const std::string& path) {
  const auto file = checkpoint::open_checkpoint(path);
  const model::Config config = model::read_config(*file);
  Json out;
  out["file"] = path;
  out["container"] = file->container();
  out["naming"] = file->extras().naming;
  out["generation"] = config.generation;
  out["layers"] = config.layers;
  out["channels"] = config.channels;
  out["heads"] = config.heads;
  out["head_size"] = config.head_size;
  out["ffn"] = config.ffn;
  out["vocab"] = config.vocab;
  out["ranks"] = {{"decay", config.rank_decay}, {"rate", config.rank_rate}, {"value", config.rank_value}, {"gate", config.rank_gate},
                  {"shift", config.rank_shift}, {"embed", config.rank_embed}};
  out["weights"] = name_of(config.weights);
  out["parameters"] = config.parameters;
  out["head"] = config.has_head;
  out["embedding_model"] = is_embedding_model(config);
  out["state_bytes"] = model::state_shape(config).bytes();
  out["tensors"] = file->tensors().size();
  out["tokenizer"] = describe_tokenizer(path, *file, config.vocab);
  return out;
}

Json inspect_output(const std::string& path) {
  const output::Reader reader(path);
  Json out;
  out["file"] = path;
  for (const auto& attribute : reader.attributes()) {
    std::visit([&](const auto& value) { out["attributes"][attribute.name] = value; }, attribute.value);
  }
  std::array<Index, 3> counts{};
  const auto status = reader.status();
  for (const auto one : status) ++counts.at(static_cast<std::size_t>(one));
  Index tokens = 0;
  for (const Index count : reader.tokens()) tokens += count;
  out["documents"] = {{"total", reader.documents()}, {"pending", counts[0]}, {"done", counts[1]}, {"failed", counts[2]}, {"tokens", tokens}};
  const auto ids = reader.ids();
  const auto errors = reader.errors();
  for (std::size_t d = 0; d < errors.size(); ++d) {
    if (status[d] == output::Status::failed) out["failures"].push_back({{"id", ids[d]}, {"error", errors[d]}});
  }
  for (const auto& dataset : reader.datasets()) {
    out["datasets"].push_back({{"path", dataset.path}, {"type", output::name_of(dataset.element)}, {"shape", dataset.shape}, {"bytes", dataset.bytes()}});
  }
  return out;
}

std::string plain(const Json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); }

// Objects indented, lists of objects one line each.
void print_text(const Json& json, const std::string& indent) {
  for (const auto& [name, value] : json.items()) {
    if (value.is_object()) {
      std::cout << indent << name << "\n";
      print_text(value, indent + "  ");
    } else if (value.is_array() && !value.empty() && value[0].is_object()) {
      std::cout << indent << name << "\n";
      for (const auto& item : value) {
        std::cout << indent << " ";
        for (const auto& [key, part] : item.items()) std::cout << " " << plain(part);
        std::cout << "\n";
      }
    } else {
      std::cout << indent << name << std::string(name.size() < 18 ? 18 - name.size() : 1, ' ') << plain(value) << "\n";
    }
  }
}

}  // namespace

int run_inspect(int argc, const char* const* argv) {
  namespace po = boost::program_options;
  bool as_json = false;
  po::options_description own("Inspecting", 100);
  own.add_options()("json", po::bool_switch(&as_json), "print JSON");
  std::vector<std::string> files;
  if (!parse(argc, argv, "riverrun inspect FILE\nwhat a checkpoint or an output file holds", own, &files)) return 0;
  RR_CHECK_INPUT(files.size() == 1, "inspect takes one file, got ", files.size(), "; see riverrun inspect --help");
  const Json json = is_hdf5(files[0]) ? inspect_output(files[0]) : inspect_checkpoint(files[0]);
  if (as_json) std::cout << json.dump(2, ' ', false, Json::error_handler_t::replace) << "\n";
  else print_text(json, "");
  return 0;
}

}  // namespace riverrun::jobs
