// What stands for neox_*.cc in a build without simdjson or ICU.

#include "core/error.h"
#include "text/neox_file.h"
#include "text/tokenizer.h"

namespace riverrun::text {

namespace {

[[noreturn]] void refuse(const std::string& name) {
  throw InputError(
      concat(name,
             ": this build cannot read tokenizer.json; install the development packages of simdjson and "
             "ICU and build again, or name an RWKV World vocabulary with --tokenizer"));
}

}  // namespace

std::unique_ptr<Tokenizer> make_neox_tokenizer(std::string_view, const std::string& name) { refuse(name); }
std::string tokenizer_json_model(std::string_view, const std::string& name) { refuse(name); }

}  // namespace riverrun::text
