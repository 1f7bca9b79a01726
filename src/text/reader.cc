#include "text/reader.h"

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "text/byte_stream.h"
#include "text/input_files.h"
#include "text/json_lines.h"
#include "text/utf8.h"

namespace riverrun::text {
namespace {

std::unique_ptr<Reader> open_json_lines(const InputFile& file) {
#if RIVERRUN_WITH_SIMDJSON
  const std::string path = is_standard_input(file.path) ? "standard input" : file.path;
  return make_json_lines(open_stream(file.path), path, file.name);
#else
  throw InputError(concat(file.path,
                          ": this build cannot read JSON Lines; install the development package of "
                          "simdjson and build again, or give the documents as text files"));
#endif
}

void read_all(ByteStream& stream, std::string& out) {
  std::size_t size = 0;
  for (;;) {
    if (size == out.size()) out.resize(std::max<std::size_t>(2 * size, kStreamBuffer));
    const Index got = stream.read(out.data() + size, static_cast<Index>(out.size() - size));
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  out.resize(size);
}

class FileReader final : public Reader {
 public:
  FileReader(std::vector<InputFile> files, const ReaderOptions& options)
      : files_(std::move(files)), options_(options) {}

  bool next(Document& document) override {
    for (;;) {
      if (lines_ && lines_->next(document)) return true;
      lines_.reset();
      if (at_ == files_.size()) return false;
      const InputFile& file = files_[at_++];
      if (!file.name.ends_with(".jsonl")) return read_text(file, document), true;
      lines_ = open_json_lines(file);
    }
  }

  bool skip() override {
    for (;;) {
      if (lines_ && lines_->skip()) return true;
      lines_.reset();
      if (at_ == files_.size()) return false;
      const InputFile& file = files_[at_++];
      if (!file.name.ends_with(".jsonl")) return true;  // not even opened
      lines_ = open_json_lines(file);
    }
  }

 private:
  void read_text(const InputFile& file, Document& document) const {
    document.id = file.name;
    document.where = is_standard_input(file.path) ? "standard input" : file.path;
    document.tokens.clear();
    document.has_tokens = false;
    document.error.clear();
    check_document_id(document.id, document.where);
    read_all(*open_stream(file.path), document.text);
    if (document.text.starts_with(kByteOrderMark)) document.text.erase(0, kByteOrderMark.size());
    if (!options_.keep_invalid_utf8) check_text(document);
  }

  static void check_text(Document& document) {
    const Index at = find_invalid_utf8(document.text);
    if (at < 0) return;
    const auto byte = static_cast<unsigned>(static_cast<unsigned char>(document.text[at]));
    document.error = concat(document.where, " is not valid UTF-8: byte ", byte, " at offset ", at,
                            "; convert it (iconv -t UTF-8), or keep such bytes with --keep-invalid-utf8");
  }

  std::vector<InputFile> files_;
  ReaderOptions options_;
  std::size_t at_ = 0;
  std::unique_ptr<Reader> lines_;  // of the JSON Lines file being read
};

}  // namespace

void check_document_id(const std::string& id, const std::string& where) {
  const char* problem = nullptr;
  if (id.empty()) problem = "is empty";
  if (static_cast<Index>(id.size()) > kMaxIdBytes) problem = "is longer than 4096 bytes";
  if (id.find('\0') != std::string::npos) problem = "holds a NUL character";
  if (find_invalid_utf8(id) >= 0) problem = "is not valid UTF-8";
  RR_CHECK_INPUT(!problem, where, ": the document's id ", problem, "; give it another id or name");
}

std::unique_ptr<Reader> open_reader(const std::string& input, const ReaderOptions& options) {
  return std::make_unique<FileReader>(list_input_files(input), options);
}

}  // namespace riverrun::text
