#include "output/schema.h"

#include <algorithm>
#include <numeric>
#include <set>

#include "core/error.h"
#include "output/utf8.h"

namespace riverrun::output {
namespace {

Index bytes_of(Element element) {
  switch (element) {
    case Element::u8:
      return 1;
    case Element::f16:
      return 2;
    case Element::i32:
    case Element::f32:
      return 4;
    case Element::i64:
    case Element::f64:
      return 8;
    default:
      RR_CHECK(false, "element ", name_of(element), " has no size of its own");
      return 0;
  }
}

void validate_windows(const WindowsSpec& windows, const FileSpec& spec) {
  const auto count = windows.document.size();
  RR_CHECK(windows.first_token.size() == count && windows.tokens.size() == count,
           "the lists of windows have different lengths");
  RR_CHECK(spec.embedding_width > 0, "windows need an embedding width");
  for (std::size_t i = 0; i < count; ++i) {
    const Index document = windows.document[i];
    RR_CHECK(document >= 0 && document < spec.documents(), "window ", i, " is of document ", document,
             ", there are ", spec.documents());
    RR_CHECK(windows.first_token[i] >= 0 && windows.tokens[i] >= 0 &&
                 windows.first_token[i] + windows.tokens[i] <= spec.tokens[document],
             "window ", i, " reaches beyond the ", spec.tokens[document], " tokens of document ", document);
  }
}

Index longest_id(const FileSpec& spec) {
  std::size_t longest = 0;
  for (const auto& id : spec.ids) longest = std::max(longest, valid_utf8(id).size());
  return static_cast<Index>(longest);
}

}  // namespace

const char* name_of(Element element) {
  constexpr const char* names[] = {"string",  "uint8",   "int32",   "int64",
                                   "float16", "float32", "float64", "other"};
  return names[static_cast<int>(element)];
}

Index Dataset::row_elements() const {
  Index product = 1;
  for (std::size_t i = 1; i < shape.size(); ++i) product *= shape[i];
  return product;
}

void validate(const FileSpec& spec) {
  const auto n = spec.ids.size();
  RR_CHECK(spec.tokens.size() == n && spec.bytes.size() == n,
           "the lists of documents have different lengths: ", n, " ids, ", spec.tokens.size(),
           " token counts, ", spec.bytes.size(), " sizes");
  RR_CHECK(!spec.job.empty(), "an output file needs the name of its job");
  for (std::size_t i = 0; i < n; ++i) {
    RR_CHECK(spec.tokens[i] >= 0 && spec.bytes[i] >= 0, "document ", i, " has a negative size");
    RR_CHECK_INPUT(static_cast<Index>(valid_utf8(spec.ids[i]).size()) <= kMostIdBytes, "document ", i,
                   ": its id has ", spec.ids[i].size(), " bytes, an output file takes ", kMostIdBytes,
                   "; give a shorter id");
  }
  std::set<std::string> names = {"schema", "job", "complete"};
  for (const auto& attribute : spec.attributes) {
    RR_CHECK(!attribute.name.empty() && names.insert(attribute.name).second, "attribute \"", attribute.name,
             "\" is empty, given twice, or written by the writer itself");
  }
  RR_CHECK(spec.embedding_width >= 0, "embedding width ", spec.embedding_width);
  if (spec.windows) validate_windows(*spec.windows, spec);
  if (spec.states) {
    const auto& s = *spec.states;
    const bool filled = !s.part_shape.empty() && *std::min_element(s.part_shape.begin(), s.part_shape.end()) > 0;
    RR_CHECK(s.wkv_layers >= 0 && filled && s.shift_layers >= 0 && s.channels > 0, "states need a shape and channels");
  }
  if (spec.summaries) {
    RR_CHECK(spec.summaries->text_bytes > 0 && spec.summaries->most_tokens > 0, "summaries need room");
  }
}

Attribute stored(const Attribute& attribute) {
  const auto* given = std::get_if<std::string>(&attribute.value);
  if (!given) return attribute;
  std::string text = valid_utf8(*given);
  if (static_cast<Index>(text.size()) > kMostAttributeBytes) {
    text = std::string(utf8_prefix(text, kMostAttributeBytes - 3)) + "...";
  }
  return {attribute.name, std::move(text)};
}

std::vector<Dataset> datasets_of(const FileSpec& spec) {
  std::vector<Dataset> all;
  const auto add = [&](const char* path, Element element, std::vector<Index> shape) {
    all.push_back({path, element, bytes_of(element), std::move(shape)});
  };
  const auto add_text = [&](const char* path, Index width, std::vector<Index> shape) {
    all.push_back({path, Element::text, width, std::move(shape)});
  };
  const Index n = spec.documents();
  const Element embedding = spec.embedding_f16 ? Element::f16 : Element::f32;

  add_text("/documents/id", longest_id(spec) + 1, {n});
  add("/documents/tokens", Element::i64, {n});
  add("/documents/bytes", Element::i64, {n});
  add("/documents/status", Element::u8, {n});
  add_text("/documents/error", kErrorBytes, {n});
  if (spec.embedding_width > 0) add("/embeddings", embedding, {n, spec.embedding_width});
  if (spec.windows) {
    const auto w = static_cast<Index>(spec.windows->document.size());
    add("/windows/embedding", embedding, {w, spec.embedding_width});
    add("/windows/document", Element::i64, {w});
    add("/windows/first_token", Element::i64, {w});
    add("/windows/tokens", Element::i64, {w});
  }
  if (spec.scores) {
    add("/scores/offset", Element::i64, {n + 1});
    add("/scores/logprob", Element::f32, {std::accumulate(spec.tokens.begin(), spec.tokens.end(), Index{0})});
  }
  if (spec.summaries) {
    add_text("/summaries/text", spec.summaries->text_bytes, {n});
    add("/summaries/tokens", Element::i32, {n, spec.summaries->most_tokens});
  }
  if (spec.states) {
    const auto& s = *spec.states;
    std::vector<Index> shape = {n, s.wkv_layers};
    shape.insert(shape.end(), s.part_shape.begin(), s.part_shape.end());
    add("/states/wkv", Element::f32, shape);
    add("/states/shift", Element::f32, {n, s.shift_layers, 2, s.channels});
  }
  return all;
}

Index payload_bytes(const FileSpec& spec) {
  Index sum = 0;
  for (const auto& dataset : datasets_of(spec)) sum += dataset.bytes();
  return sum;
}

std::vector<Index> score_offsets(const std::vector<Index>& tokens) {
  std::vector<Index> offsets(tokens.size() + 1, 0);
  std::partial_sum(tokens.begin(), tokens.end(), offsets.begin() + 1);
  return offsets;
}

}  // namespace riverrun::output
