#include "output/difference.h"

#include <algorithm>

#include "core/error.h"
#include "output/utf8.h"

namespace riverrun::output {
namespace {

constexpr const char* kInputChecksum = "input_crc32c";  // of all token ids: what counts and sizes cannot tell

// Compared elsewhere, or not at all.
bool is_left_out(const std::string& name) {
  return tells_only_of_the_run(name) || name == kInputChecksum || name == "schema" || name == "complete";
}

std::string shape_of(const Dataset& dataset) {
  std::string out = name_of(dataset.element);
  for (const Index extent : dataset.shape) out += concat(" x ", extent);
  return dataset.element == Element::text ? concat(out, " of ", dataset.element_bytes, " bytes") : out;
}

std::string attribute_difference(const Reader& existing, const FileSpec& wanted) {
  std::vector<Attribute> now = {{"job", wanted.job}};
  now.insert(now.end(), wanted.attributes.begin(), wanted.attributes.end());
  for (const auto& attribute : now) {
    if (is_left_out(attribute.name)) continue;
    const Attribute* before = existing.attribute(attribute.name);
    const bool same = before && before->value == stored(attribute).value;
    if (!same) return concat(attribute.name, " was ", words_for(before), " and would now be ", words_for(&attribute));
  }
  for (const auto& before : existing.attributes()) {
    if (is_left_out(before.name)) continue;
    const bool known =
        std::any_of(now.begin(), now.end(), [&](const auto& a) { return a.name == before.name; });
    if (!known) return concat(before.name, " was ", words_for(&before), " and would now be left out");
  }
  return "";
}

// After the documents were found alike in number, ids and sizes.
std::string content_difference(const Reader& existing, const FileSpec& wanted) {
  const auto now = std::find_if(wanted.attributes.begin(), wanted.attributes.end(), [](const auto& a) { return a.name == kInputChecksum; });
  const Attribute* before = existing.attribute(kInputChecksum);
  if (now == wanted.attributes.end() && !before) return "";
  const bool same = now != wanted.attributes.end() && before && before->value == now->value;
  return same ? "" : "the documents have the same ids and sizes, but other contents (checksum of their tokens, input_crc32c)";
}

template <class Before, class Now>
std::string list_difference(const Before& before, const Now& now, const char* row, const char* what) {
  const auto [at, with] = std::mismatch(before.begin(), before.end(), now.begin(), now.end());
  if (at == before.end() || with == now.end()) return "";  // the lengths were compared with the shapes
  return concat(row, " ", at - before.begin(), " had ", what, " ", *at, " and has now ", *with);
}

std::string document_difference(const Reader& existing, const FileSpec& wanted) {
  if (existing.documents() != wanted.documents()) {
    return concat("the file has ", existing.documents(), " documents, the input has ", wanted.documents());
  }
  std::vector<std::string> ids;
  for (const auto& id : wanted.ids) ids.push_back(valid_utf8(id));
  for (auto words : {list_difference(existing.ids(), ids, "document", "the id"),
                     list_difference(existing.tokens(), wanted.tokens, "document", "a token count of"),
                     list_difference(existing.bytes(), wanted.bytes, "document", "a size in bytes of")}) {
    if (!words.empty()) return words;
  }
  return "";
}

std::string shape_difference(const Reader& existing, const FileSpec& wanted) {
  const auto now = datasets_of(wanted);
  for (const auto& dataset : now) {
    const Dataset* before = existing.dataset(dataset.path);
    if (!before) return concat(dataset.path, " is not in the file");
    if (shape_of(*before) != shape_of(dataset)) {
      return concat(dataset.path, " was ", shape_of(*before), " and would now be ", shape_of(dataset));
    }
  }
  for (const auto& before : existing.datasets()) {
    const bool known =
        std::any_of(now.begin(), now.end(), [&](const auto& d) { return d.path == before.path; });
    if (!known) return concat(before.path, " is in the file and would now be left out");
  }
  return "";
}

std::string row_difference(const Reader& existing, const FileSpec& wanted) {
  for (const RowList& list : row_lists(wanted)) {
    const auto before = existing.integers(list.path, 0, static_cast<Index>(list.values.size()));
    if (auto words = list_difference(before, list.values, list.row, list.what); !words.empty()) return words;
  }
  if (!wanted.answers) return "";
  std::vector<std::string> now;
  for (const auto& question : wanted.answers->questions) now.push_back(valid_utf8(question));
  const auto before = existing.strings("/questions/text", 0, static_cast<Index>(now.size()));
  return list_difference(before, now, "question", "the text");
}

}  // namespace

std::string difference(const Reader& existing, const FileSpec& wanted) {
  validate(wanted);
  for (const auto compare :
       {attribute_difference, document_difference, content_difference, shape_difference, row_difference}) {
    if (std::string words = compare(existing, wanted); !words.empty()) return words;
  }
  return "";
}

}  // namespace riverrun::output
