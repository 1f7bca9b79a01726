#include "output/reader.h"

#include <algorithm>

#include "core/error.h"
#include "output/metadata.h"

namespace riverrun::output {
namespace {

std::string shape_words(const std::vector<Index>& shape) {
  std::string words = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    words += concat(i == 0 ? "" : ", ", shape[i] < 0 ? "any" : std::to_string(shape[i]));
  }
  return words + "]";
}

Hdf5File open_checked(const std::string& path) {
  check_seal(path);
  return Hdf5File::open(path);
}

}  // namespace

Reader::Reader(const std::string& path)
    : path_(path), file_(open_checked(path)), attributes_(file_.attributes()) {
  const Attribute* schema = attribute("schema");
  RR_CHECK_INPUT(schema, path_,
                 ": is an HDF5 file but not one of riverrun's: it has no attribute \"schema\"");
  RR_CHECK_INPUT(integer("schema") == kSchema, path_, ": has schema ", integer("schema"),
                 ", this program reads schema ", kSchema);
  datasets_ = file_.datasets();
  RR_CHECK_INPUT(integer("complete") == 0 || integer("complete") == 1, path_, ": attribute complete is ",
                 integer("complete"), ", not 0 or 1");
  text("job");
  check_documents();
  check_results();
  if (dataset("/windows/embedding")) check_windows();
  if (dataset("/scores/logprob")) check_scores();
  for (const TextGroup group : {TextGroup::summaries, TextGroup::sections, TextGroup::answers}) {
    if (dataset(paths_of(group).text)) check_texts(group);
  }
  if (dataset("/passages/text")) check_passages();
}

const Attribute* Reader::attribute(const std::string& name) const {
  const auto at =
      std::find_if(attributes_.begin(), attributes_.end(), [&](const auto& a) { return a.name == name; });
  return at == attributes_.end() ? nullptr : &*at;
}

std::string Reader::text(const std::string& name) const {
  const Attribute* found = attribute(name);
  const auto* value = found ? std::get_if<std::string>(&found->value) : nullptr;
  RR_CHECK_INPUT(value, path_, ": has no text attribute \"", name, "\"");
  return *value;
}

Index Reader::integer(const std::string& name) const {
  const Attribute* found = attribute(name);
  const auto* value = found ? std::get_if<Index>(&found->value) : nullptr;
  RR_CHECK_INPUT(value, path_, ": has no integer attribute \"", name, "\"");
  return *value;
}

const Dataset* Reader::dataset(const std::string& dataset_path) const {
  const auto at =
      std::find_if(datasets_.begin(), datasets_.end(), [&](const auto& d) { return d.path == dataset_path; });
  return at == datasets_.end() ? nullptr : &*at;
}

const Dataset& Reader::need(const std::string& dataset_path) const {
  const Dataset* found = dataset(dataset_path);
  RR_CHECK(found, path_, ": has no dataset ", dataset_path);
  return *found;
}

const Dataset& Reader::expect(const std::string& dataset_path, std::vector<Element> elements,
                              const std::vector<Index>& shape) const {
  const Dataset* found = dataset(dataset_path);
  RR_CHECK_INPUT(found, path_, ": has no dataset ", dataset_path);
  const bool good = std::equal(shape.begin(), shape.end(), found->shape.begin(), found->shape.end(),
                               [](Index wanted, Index got) { return wanted < 0 || wanted == got; });
  RR_CHECK_INPUT(good, path_, ": dataset ", dataset_path, " has shape ", shape_words(found->shape),
                 " instead of ", shape_words(shape));
  RR_CHECK_INPUT(std::find(elements.begin(), elements.end(), found->element) != elements.end(), path_,
                 ": dataset ", dataset_path, " holds ", name_of(found->element), " instead of ",
                 name_of(elements.front()));
  return *found;
}

void Reader::check_documents() {
  documents_ = expect("/documents/id", {Element::text}, {-1}).rows();
  expect("/documents/tokens", {Element::i64}, {documents_});
  expect("/documents/bytes", {Element::i64}, {documents_});
  expect("/documents/status", {Element::u8}, {documents_});
  expect("/documents/error", {Element::text}, {documents_});
}

void Reader::check_results() const {
  const Index n = documents_;
  if (dataset("/embeddings")) expect("/embeddings", {Element::f32, Element::f16}, {n, -1});
  if (dataset("/states/wkv")) {
    const bool of_channels = dataset("/states/wkv")->shape.size() == 4;  // RWKV-4
    expect("/states/wkv", {Element::f32}, of_channels ? std::vector<Index>{n, -1, -1, 3} : std::vector<Index>{n, -1, -1, -1, -1});
    expect("/states/shift", {Element::f32}, {n, -1, 2, -1});
  }
}

void Reader::check_windows() const {
  const Index windows = expect("/windows/embedding", {Element::f32, Element::f16}, {-1, -1}).rows();
  for (const char* name : {"/windows/document", "/windows/first_token", "/windows/tokens"}) {
    expect(name, {Element::i64}, {windows});
  }
  check_rows_of("/windows/document", windows, "document", documents_);
}

void Reader::check_rows_of(const std::string& list, Index rows, const char* what, Index count) const {
  const auto values = integers(list, 0, rows);
  const bool good = std::all_of(values.begin(), values.end(), [&](Index v) { return v >= 0 && v < count; });
  RR_CHECK_INPUT(good, path_, ": ", list, " names a ", what,
                 " that the file does not have; the file is damaged");
}

void Reader::check_texts(TextGroup group) const {
  const TextPaths& paths = paths_of(group);
  const Index rows = expect(paths.text, {Element::text}, {paths.document ? -1 : documents_}).rows();
  expect(paths.tokens, {Element::i32}, {rows, -1});
  expect(paths.length, {Element::i32}, {rows});
  expect(paths.stop_reason, {Element::u8}, {rows});
  if (!paths.document) return;
  expect(paths.document, {Element::i64}, {rows});
  check_rows_of(paths.document, rows, "document", documents_);
  if (group == TextGroup::sections) {
    for (const char* name : {"/sections/first_token", "/sections/tokens"})
      expect(name, {Element::i64}, {rows});
  } else {
    expect("/answers/question", {Element::i64}, {rows});
    const Index questions = expect("/questions/text", {Element::text}, {-1}).rows();
    check_rows_of("/answers/question", rows, "question", questions);
  }
}

void Reader::check_passages() const {
  const Index rows = expect("/passages/text", {Element::text}, {-1}).rows();
  expect("/passages/document", {Element::i64}, {rows});
  for (const char* path : kPassageNumbers) expect(path, {Element::i64}, {rows});
  check_rows_of("/passages/document", rows, "document", documents_);
}

void Reader::check_scores() const {
  const Index scores = expect("/scores/logprob", {Element::f32}, {-1}).rows();
  expect("/scores/offset", {Element::i64}, {documents_ + 1});
  const auto counts = tokens();
  const bool counted =
      std::all_of(counts.begin(), counts.end(), [&](Index t) { return t >= 0 && t <= scores; });
  const auto offsets = integers("/scores/offset", 0, documents_ + 1);
  RR_CHECK_INPUT(counted && offsets == score_offsets(counts) && offsets.back() == scores, path_,
                 ": /scores/offset does not agree with /documents/tokens; the file is damaged");
}

std::vector<std::string> Reader::ids() const { return strings("/documents/id", 0, documents_); }
std::vector<Index> Reader::tokens() const { return integers("/documents/tokens", 0, documents_); }
std::vector<Index> Reader::bytes() const { return integers("/documents/bytes", 0, documents_); }
std::vector<std::string> Reader::errors() const { return strings("/documents/error", 0, documents_); }

std::vector<Status> Reader::status() const {
  std::vector<Status> out;
  for (const Index value : integers("/documents/status", 0, documents_)) {
    RR_CHECK_INPUT(value <= 2, path_, ": document ", out.size(), " has status ", value,
                   "; the file is damaged");
    out.push_back(static_cast<Status>(value));
  }
  return out;
}

std::vector<float> Reader::floats(const std::string& dataset_path, Index first, Index count) const {
  const Dataset& found = need(dataset_path);
  std::vector<float> out(static_cast<std::size_t>(count * found.row_elements()));
  file_.read_floats(found, first, count, out);
  return out;
}

std::vector<Index> Reader::integers(const std::string& dataset_path, Index first, Index count) const {
  const Dataset& found = need(dataset_path);
  std::vector<Index> out(static_cast<std::size_t>(count * found.row_elements()));
  file_.read_integers(found, first, count, out);
  return out;
}

std::vector<std::string> Reader::strings(const std::string& dataset_path, Index first, Index count) const {
  return file_.read_text(need(dataset_path), first, count);
}

GeneratedText Reader::generated_text(TextGroup group, Index row) const {
  const TextPaths& paths = paths_of(group);
  const Index length = integers(paths.length, row, 1).front();
  const Index reason = integers(paths.stop_reason, row, 1).front();
  const auto tokens = integers(paths.tokens, row, 1);
  RR_CHECK_INPUT(length >= 0 && length <= static_cast<Index>(tokens.size()) && reason <= 3, path_, ": row ",
                 row, " of ", paths.text, " has the length ", length, " of ", tokens.size(),
                 " and the stop reason ", reason, "; the file is damaged");
  return {strings(paths.text, row, 1).front(),
          {tokens.begin(), tokens.begin() + length},
          static_cast<StopReason>(reason)};
}

}  // namespace riverrun::output
