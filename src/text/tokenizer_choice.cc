#include "text/tokenizer_choice.h"

#include <cstdlib>
#include <filesystem>
#include <optional>

#include "core/error.h"
#include "core/mapped_file.h"
#include "text/neox_file.h"

namespace riverrun::text {
namespace {

namespace fs = std::filesystem;

constexpr const char* kWorldFile = "rwkv_vocab_v20230424.txt";
constexpr const char* kNeoxFile = "20B_tokenizer.json";
constexpr const char* kAnyJson = "tokenizer.json";
constexpr Index kMostSpareRows = 511;

// Models of these sizes have these vocabularies.
struct KnownSize {
  Index least, most;  // rows
  const char* file;
  const char* advice;
};
constexpr KnownSize kKnownSizes[] = {
    {65530, 65536, kWorldFile, "cluster/install_deps.sh fetches it"},
    {50277, 50304, kNeoxFile,
     "it is published with the GPT-NeoX 20B model; put it there or beside the model"},
};

bool is_file(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

bool is_folder(const fs::path& path) {
  std::error_code error;
  return fs::is_directory(path, error);
}

std::string_view text_of(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

class Search {
 public:
  explicit Search(const TokenizerRequest& request) : request_(request) {
    RR_CHECK(request.rows > 0, "the model has ", request.rows, " rows");
  }

  TokenizerChoice run() {
    if (!request_.explicit_path.empty()) {
      RR_CHECK_INPUT(is_file(request_.explicit_path), "--tokenizer ", request_.explicit_path,
                     " is not a file");
      return named(request_.explicit_path, "--tokenizer");
    }
    if (const char* const path = std::getenv("RIVERRUN_VOCAB"); path && *path) {
      RR_CHECK_INPUT(is_file(path), "RIVERRUN_VOCAB names ", path,
                     ", which is not a file; correct or unset it");
      return named(path, "RIVERRUN_VOCAB");
    }
    if (auto choice = beside_the_model()) return std::move(*choice);
    if (!request_.embedded.empty()) return embedded();
    if (auto choice = by_size()) return std::move(*choice);
    throw InputError(concat("no tokenizer found for ", model(),
                            ": --tokenizer was not given, RIVERRUN_VOCAB is not set", not_used_,
                            "; name a vocabulary with --tokenizer, or give the documents as token ids"));
  }

 private:
  std::string model() const {
    return concat(request_.model_path.empty() ? "the model" : request_.model_path, ", which has ",
                  request_.rows, " vocabulary rows");
  }

  TokenizerChoice choice(std::unique_ptr<Tokenizer> tokenizer, std::string source,
                         const std::string& why) const {
    return {std::move(tokenizer), std::move(source), why + passed_over_};
  }

  TokenizerChoice named(const std::string& path, const char* by) const {
    auto tokenizer = load_tokenizer(path);
    check_size(*tokenizer, path);
    return choice(std::move(tokenizer), path, by);
  }

  void check_size(const Tokenizer& tokenizer, const std::string& source) const {
    RR_CHECK_INPUT(tokenizer.vocab_size() <= request_.rows, "the tokenizer ", source, " has ids up to ",
                   tokenizer.vocab_size() - 1, ", but the model ", request_.model_path, " has only ",
                   request_.rows,
                   " rows: they do not belong together; name the right vocabulary with --tokenizer");
  }

  void is_missing(const fs::path& path, const std::string& advice = "") {
    not_used_ += concat("; ", path.string(), ": not there", advice);
  }

  void pass_over(const fs::path& path, const std::string& reason) {
    not_used_ += concat("; ", path.string(), ": ", reason);
    passed_over_ += concat("; passed over ", path.string(), ": ", reason);
  }

  std::optional<TokenizerChoice> beside_the_model() {
    if (request_.model_path.empty()) return std::nullopt;
    const fs::path model(request_.model_path);
    const fs::path folder = is_folder(model) ? model : model.parent_path();
    for (const char* const file : {kWorldFile, kNeoxFile, kAnyJson}) {
      const fs::path path = folder / file;
      if (!is_file(path)) {
        is_missing(path);
        continue;
      }
      if (file == kAnyJson && is_form_of_world(path.string())) {
        pass_over(path, "a converted World vocabulary, which is not used");
        continue;
      }
      auto tokenizer = load_tokenizer(path.string());
      const Index spare = request_.rows - tokenizer->vocab_size();
      if (spare >= 0 && spare <= kMostSpareRows)
        return choice(std::move(tokenizer), path.string(), "beside the model");
      pass_over(path, concat("does not fit, it has ", tokenizer->vocab_size(), " ids"));
    }
    return std::nullopt;
  }

  static bool is_form_of_world(const std::string& path) {
    const MappedFile file(path);
    const std::string kind = tokenizer_json_model(text_of(file), path);
    return kind == "WordLevel" || kind == "RwkvTrie";
  }

  TokenizerChoice embedded() const {
    RR_CHECK_INPUT(request_.embedded_kind == "rwkv", request_.model_path, " has a vocabulary of the kind '",
                   request_.embedded_kind,
                   "' inside, which this program does not read; name one with --tokenizer");
    auto tokenizer = make_gguf_world_tokenizer(request_.embedded, request_.model_path);
    check_size(*tokenizer, concat("inside ", request_.model_path));
    return choice(std::move(tokenizer), request_.model_path, "inside the model file");
  }

  std::optional<TokenizerChoice> by_size() {
    for (const KnownSize& known : kKnownSizes) {
      if (request_.rows < known.least || request_.rows > known.most) continue;
      const fs::path path = fs::path(RIVERRUN_DATA_DIR) / known.file;
      if (is_file(path))
        return named(path.string(), concat("by the model's ", request_.rows, " rows").c_str());
      is_missing(path, concat(" (", known.advice, ")"));
      return std::nullopt;
    }
    not_used_ += "; no known vocabulary has this size";
    return std::nullopt;
  }

  const TokenizerRequest& request_;
  std::string not_used_;     // every file looked for, and why it is not the one
  std::string passed_over_;  // those of them that are there
};

}  // namespace

TokenizerChoice choose_tokenizer(const TokenizerRequest& request) { return Search(request).run(); }

}  // namespace riverrun::text
