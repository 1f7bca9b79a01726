#include "jobs/texts/text_files.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <string_view>
#include <unordered_map>

#include "core/error.h"
#include "output/aside_file.h"
#include "output/reader.h"
#include "output/utf8.h"
#include "text/utf8.h"

namespace riverrun::jobs {

namespace {

constexpr std::size_t kMostNameBytes = 128;  // with "~", row and endings far below the 255 that file systems take

struct Name {
  std::string text;
  bool alone = false;  // nothing but another document's equal name, case aside, can be taken for it
};

bool is_letter_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

// Bytes of the character beyond ASCII that begins `text`; 0 when there is none, or a control.
std::size_t character_bytes(std::string_view text) {
  for (std::size_t size = 2; size <= std::min<std::size_t>(4, text.size()); ++size) {
    if (text::find_invalid_utf8(text.substr(0, size)) >= 0) continue;
    std::size_t at = 0;
    return text::next_code_point(text, at) >= 0xa0 ? at : 0;
  }
  return 0;
}

std::string escaped(char byte) {
  constexpr const char* kDigits = "0123456789abcdef";
  const auto value = static_cast<unsigned char>(byte);
  return {'%', kDigits[value >> 4], kDigits[value & 15]};
}

Name name_of(std::string_view id) {
  Name name{"", !id.empty()};
  for (bool first = true; !id.empty(); first = false) {
    const char c = id.front();
    const bool ascii = static_cast<unsigned char>(c) < 0x80;
    const bool plain = is_letter_or_digit(c) || c == '_' || (!first && (c == '.' || c == '-'));
    const std::size_t wide = ascii ? 0 : character_bytes(id);
    const std::string piece = plain ? std::string(1, c) : wide > 0 ? std::string(id.substr(0, wide)) : escaped(c);
    name.alone = name.alone && wide == 0 && name.text.size() + piece.size() <= kMostNameBytes;
    if (name.text.size() + piece.size() > kMostNameBytes) break;
    name.text += piece;
    id.remove_prefix(std::max<std::size_t>(1, wide));
  }
  return name;
}

std::string folded(std::string name) {
  for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return name;
}

std::string content(const DocumentText& document) {
  std::string out;
  const auto add = [&](const std::string& text) {
    out += output::valid_utf8(text);
    if (!out.ends_with('\n')) out += '\n';
  };
  if (document.summary) add(*document.summary);
  for (const auto& section : document.sections) {
    if (!out.empty()) out += '\n';
    out += concat("## Tokens ", section.first_token, " to ", section.first_token + section.tokens - 1, "\n\n");
    add(section.text);
  }
  return out;
}

}  // namespace

TextFiles::TextFiles(const std::string& directory, const std::vector<std::string>& ids) {
  namespace fs = std::filesystem;
  std::error_code error;
  fs::create_directories(directory, error);
  RR_CHECK_INPUT(!error, directory, ": cannot be made a directory for texts: ", error.message());
  RR_CHECK_INPUT(fs::is_directory(directory, error), directory, ": is no directory; texts go into one, a file per document");
  if (::access(directory.c_str(), W_OK | X_OK) != 0) throw InputError(with_errno(directory + ": no files can be made in it"));

  std::vector<Name> names;
  std::unordered_map<std::string, Index> count;
  for (const auto& id : ids) {
    names.push_back(name_of(id));
    if (names.back().alone) ++count[folded(names.back().text)];
  }
  for (std::size_t row = 0; row < names.size(); ++row) {
    const Name& name = names[row];
    const bool unlike_all = name.alone && count[folded(name.text)] == 1;
    const std::string file = unlike_all ? name.text + ".txt" : concat(name.text, "~", row, ".txt");
    paths_.push_back((fs::path(directory) / file).string());
  }
}

void TextFiles::write(Index document, const DocumentText& text) const {
  const std::string bytes = content(text);
  output::AsideFile aside(path(document) + ".writing");
  aside.file().write(std::as_bytes(std::span(bytes)), 0, "a document's text");
  aside.rename_to(path(document));
}

namespace {

// Rows of /sections or /passages, which stand in the order of documents.
class Parts {
 public:
  Parts(const output::Reader& reader, const std::string& group) {
    const output::Dataset* const rows = reader.dataset(group + "/document");
    if (rows == nullptr) return;
    const auto read = [&](const char* name) { return reader.integers(group + name, 0, rows->rows()); };
    document_ = read("/document"), first_ = read("/first_token"), tokens_ = read("/tokens");
  }

  // `text_of(row)` of each row of the document, which comes after those asked for before.
  template <class Text>
  void add(Index document, DocumentText& to, Text text_of) {
    for (; next_ < std::ssize(document_) && document_[next_] <= document; ++next_) {
      if (document_[next_] == document) to.sections.push_back({first_[next_], tokens_[next_], text_of(next_)});
    }
  }

 private:
  std::vector<Index> document_, first_, tokens_;
  Index next_ = 0;
};

}  // namespace

// A document at a time: all texts of a corpus may not fit the memory.
void TextFiles::write_all(const std::string& output) const {
  const output::Reader reader(output);
  const auto status = reader.status();
  Parts sections(reader, "/sections"), passages(reader, "/passages");
  const bool summaries = reader.dataset("/summaries/text") != nullptr;
  for (Index d = 0; d < std::ssize(paths_); ++d) {
    if (status.at(d) != output::Status::done) continue;
    DocumentText text;
    if (summaries) text.summary = reader.generated_text(output::TextGroup::summaries, d).text;
    sections.add(d, text, [&](Index row) { return reader.generated_text(output::TextGroup::sections, row).text; });
    passages.add(d, text, [&](Index row) { return reader.strings("/passages/text", row, 1).front(); });
    write(d, text);
  }
  if (!paths_.empty()) output::sync_directory_of(paths_.front());
}

}  // namespace riverrun::jobs
