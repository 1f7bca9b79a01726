// riverrun convert: any checkpoint that can be read, as one .safetensors file with the official names.

#include "checkpoint/convert.h"

#include <filesystem>

#include "core/error.h"
#include "core/log.h"
#include "jobs/commands.h"
#include "jobs/options.h"
#include "jobs/run/machine.h"
#include "jobs/run/run_lock.h"
#include "model/model.h"

namespace riverrun::jobs {

int run_convert(int argc, const char* const* argv) {
  namespace po = boost::program_options;
  std::string dtype = "keep";
  bool overwrite = false;
  po::options_description own("Converting", 100);
  own.add_options()
      ("dtype", po::value(&dtype)->default_value(dtype)->value_name("TYPE"),
       "of the weights: fp32, bf16, fp16, or keep: as they are, quantised ones as fp32")
      ("overwrite", po::bool_switch(&overwrite), "replace an existing file");
  std::vector<std::string> files;
  if (!parse(argc, argv, "riverrun convert IN OUT.safetensors\nany checkpoint under the official names", own, &files)) return 0;
  RR_CHECK_INPUT(files.size() == 2, "convert takes the file to read and the file to write, got ", files.size(),
                 "; see riverrun convert --help");
  const std::string &in = files[0], out = output_place("the file to write,", files[1]);
  RR_CHECK_INPUT(out.ends_with(".safetensors"), out, ": convert writes safetensors, and other programs go by the name; let it end in .safetensors");
  const std::optional<DType> type = parse_weight_type(dtype);
  RR_CHECK_INPUT(type || dtype == "keep", "--dtype '", dtype, "' is none of keep, fp32, bf16, fp16");
  check_one_process("convert");
  const RunLock lock(out);
  RR_CHECK_INPUT(overwrite || !std::filesystem::exists(out), out, " exists; use --overwrite to replace it");
  const auto file = checkpoint::open_checkpoint(in);
  for (const std::string& path : file->file_paths()) {
    std::error_code error;
    RR_CHECK_INPUT(!std::filesystem::equivalent(path, out, error), out, " is the file to convert; name another");
  }
  const model::Config config = model::read_config(*file);  // a file of no known model is refused before anything is written
  checkpoint::write_official(*file, out, type);
  log_info("wrote ", out, ": ", config.generation, ", ", file->tensors().size(), " tensors, ", std::filesystem::file_size(out), " bytes");
  return 0;
}

}  // namespace riverrun::jobs
