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

// `row` is "window" or "section": parts of documents, any number of each.
void validate_parts(const char* row, const std::vector<Index>& documents, const std::vector<Index>& first,
                    const std::vector<Index>& tokens, const FileSpec& spec) {
  const auto count = documents.size();
  RR_CHECK(first.size() == count && tokens.size() == count, "the lists of ", row, "s have different lengths");
  for (std::size_t i = 0; i < count; ++i) {
    const Index document = documents[i];
    RR_CHECK(document >= 0 && document < spec.documents(), row, " ", i, " is of document ", document,
             ", there are ", spec.documents());
    RR_CHECK(first[i] >= 0 && tokens[i] >= 0 && first[i] + tokens[i] <= spec.tokens[document], row, " ", i,
             " reaches beyond the ", spec.tokens[document], " tokens of document ", document);
  }
}

void validate_answers(const AnswersSpec& answers, const FileSpec& spec) {
  const auto questions = static_cast<Index>(answers.questions.size());
  RR_CHECK(answers.document.size() == answers.question.size(), "the lists of answers have different lengths");
  for (std::size_t i = 0; i < answers.document.size(); ++i) {
    RR_CHECK(answers.document[i] >= 0 && answers.document[i] < spec.documents(), "answer ", i,
             " is of document ", answers.document[i], ", there are ", spec.documents());
    RR_CHECK(answers.question[i] >= 0 && answers.question[i] < questions, "answer ", i, " is to question ",
             answers.question[i], ", there are ", questions);
  }
  for (std::size_t i = 0; i < answers.questions.size(); ++i) {
    const auto bytes = static_cast<Index>(valid_utf8(answers.questions[i]).size());
    RR_CHECK_INPUT(bytes <= kMostQuestionBytes, "question ", i, " has ", bytes,
                   " bytes, an output file takes ", kMostQuestionBytes, "; give a shorter question");
  }
}

void validate_texts(const FileSpec& spec) {
  const auto check_room = [](const TextsSpec& texts, TextGroup group) {
    RR_CHECK(texts.text_bytes > 0 && texts.most_tokens > 0, paths_of(group).text, " needs room");
  };
  if (spec.summaries) check_room(*spec.summaries, TextGroup::summaries);
  if (spec.sections) {
    const auto& s = *spec.sections;
    check_room(s.texts, TextGroup::sections);
    validate_parts("section", s.document, s.first_token, s.tokens, spec);
  }
  if (spec.answers) {
    check_room(spec.answers->texts, TextGroup::answers);
    validate_answers(*spec.answers, spec);
  }
}

void add_row_lists(const FileSpec& spec, std::string_view group, std::vector<Dataset>& all) {
  for (const RowList& list : row_lists(spec)) {
    if (!std::string_view(list.path).starts_with(group)) continue;
    all.push_back({list.path, Element::i64, 8, {static_cast<Index>(list.values.size())}});
  }
}

void add_generated(TextGroup group, const TextsSpec& texts, Index rows, std::vector<Dataset>& all) {
  const TextPaths& paths = paths_of(group);
  all.push_back({paths.text, Element::text, texts.text_bytes, {rows}});
  all.push_back({paths.tokens, Element::i32, 4, {rows, texts.most_tokens}});
  all.push_back({paths.length, Element::i32, 4, {rows}});
  all.push_back({paths.stop_reason, Element::u8, 1, {rows}});
}

Index longest(const std::vector<std::string>& texts) {
  std::size_t bytes = 0;
  for (const auto& text : texts) bytes = std::max(bytes, valid_utf8(text).size());
  return static_cast<Index>(bytes);
}

void add_texts(const FileSpec& spec, std::vector<Dataset>& all) {
  if (spec.summaries) add_generated(TextGroup::summaries, *spec.summaries, spec.documents(), all);
  if (const auto& sections = spec.sections) {
    add_row_lists(spec, "/sections/", all);
    add_generated(TextGroup::sections, sections->texts, static_cast<Index>(sections->document.size()), all);
  }
  if (const auto& answers = spec.answers) {
    add_row_lists(spec, "/answers/", all);
    add_generated(TextGroup::answers, answers->texts, static_cast<Index>(answers->document.size()), all);
    all.push_back({"/questions/text",
                   Element::text,
                   longest(answers->questions) + 1,
                   {static_cast<Index>(answers->questions.size())}});
  }
}

}  // namespace

const char* name_of(Element element) {
  constexpr const char* names[] = {"string",  "uint8",   "int32",   "int64",
                                   "float16", "float32", "float64", "other"};
  return names[static_cast<int>(element)];
}

const TextPaths& paths_of(TextGroup group) {
  static constexpr TextPaths kPaths[] = {
      {"/summaries/text", "/summaries/tokens", "/summaries/length", "/summaries/stop_reason", nullptr},
      {"/sections/text", "/sections/generated", "/sections/length", "/sections/stop_reason",
       "/sections/document"},
      {"/answers/text", "/answers/generated", "/answers/length", "/answers/stop_reason",
       "/answers/document"}};
  return kPaths[static_cast<int>(group)];
}

std::string group_of(const std::string& dataset_path) { return dataset_path.substr(0, dataset_path.rfind('/')); }

RowsOf rows_of(const std::string& dataset_path) {
  struct Rule {
    std::string_view begin;
    RowsOf rows;
  };
  static constexpr Rule kRules[] = {
      {"/documents/", RowsOf::document}, {"/embeddings", RowsOf::document}, {"/summaries/", RowsOf::document},
      {"/states/", RowsOf::document},    {"/windows/", RowsOf::part},       {"/sections/", RowsOf::part},
      {"/answers/", RowsOf::part},       {"/passages/", RowsOf::part},      {"/scores/logprob", RowsOf::token},
      {"/scores/offset", RowsOf::file},  {"/questions/", RowsOf::file},     {"/shards/", RowsOf::file},
  };
  const auto rule = std::ranges::find_if(kRules, [&](const Rule& r) { return dataset_path.starts_with(r.begin); });
  return rule == std::end(kRules) ? RowsOf::unknown : rule->rows;
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
  if (spec.windows) {
    RR_CHECK(spec.embedding_width > 0, "windows need an embedding width");
    validate_parts("window", spec.windows->document, spec.windows->first_token, spec.windows->tokens, spec);
  }
  if (spec.states) {
    const auto& s = *spec.states;
    const bool filled = !s.part_shape.empty() && *std::min_element(s.part_shape.begin(), s.part_shape.end()) > 0;
    RR_CHECK(s.wkv_layers >= 0 && filled && s.shift_layers >= 0 && s.channels > 0, "states need a shape and channels");
  }
  validate_texts(spec);
  if (spec.passages) {
    const auto& documents = spec.passages->document;
    RR_CHECK(spec.windows && spec.passages->text_bytes > 0, "passages need windows and room for their text");
    for (std::size_t i = 0; i < documents.size(); ++i) {
      RR_CHECK(documents[i] >= (i == 0 ? 0 : documents[i - 1]) && documents[i] < spec.documents(), "passage ", i, " is of document ",
               documents[i], ", there are ", spec.documents());
    }
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

  add_text("/documents/id", longest(spec.ids) + 1, {n});
  add("/documents/tokens", Element::i64, {n});
  add("/documents/bytes", Element::i64, {n});
  add("/documents/status", Element::u8, {n});
  add_text("/documents/error", kErrorBytes, {n});
  if (spec.embedding_width > 0) add("/embeddings", embedding, {n, spec.embedding_width});
  if (spec.windows) {
    const auto w = static_cast<Index>(spec.windows->document.size());
    add("/windows/embedding", embedding, {w, spec.embedding_width});
    add_row_lists(spec, "/windows/", all);
  }
  if (spec.scores) {
    add("/scores/offset", Element::i64, {n + 1});
    add("/scores/logprob", Element::f32, {std::accumulate(spec.tokens.begin(), spec.tokens.end(), Index{0})});
  }
  add_texts(spec, all);
  if (const auto& passages = spec.passages) {
    const auto p = static_cast<Index>(passages->document.size());
    add_row_lists(spec, "/passages/", all);
    for (const char* path : kPassageNumbers) add(path, Element::i64, {p});
    add_text("/passages/text", passages->text_bytes, {p});
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

std::vector<RowList> row_lists(const FileSpec& spec) {
  std::vector<RowList> lists;
  if (const auto& w = spec.windows) {
    lists.push_back({"/windows/document", "window", "the document", w->document});
    lists.push_back({"/windows/first_token", "window", "the first token", w->first_token});
    lists.push_back({"/windows/tokens", "window", "a token count of", w->tokens});
  }
  if (const auto& s = spec.sections) {
    lists.push_back({"/sections/document", "section", "the document", s->document});
    lists.push_back({"/sections/first_token", "section", "the first token", s->first_token});
    lists.push_back({"/sections/tokens", "section", "a token count of", s->tokens});
  }
  if (const auto& a = spec.answers) {
    lists.push_back({"/answers/document", "answer", "the document", a->document});
    lists.push_back({"/answers/question", "answer", "the question", a->question});
  }
  if (const auto& p = spec.passages) lists.push_back({"/passages/document", "passage", "the document", p->document});
  return lists;
}

Index payload_bytes(const FileSpec& spec) {
  Index sum = 0;
  for (const auto& dataset : datasets_of(spec)) sum += dataset.bytes();
  return sum;
}

bool tells_only_of_the_run(std::string_view attribute) {
  return attribute == "command" || attribute == "created" || attribute == "model_path" || attribute == "riverrun_version";
}

std::string words_for(const Attribute* attribute) {
  if (!attribute) return "nothing";
  return std::visit([](const auto& value) { return concat(value); }, attribute->value);
}

std::vector<Index> score_offsets(const std::vector<Index>& tokens) {
  std::vector<Index> offsets(tokens.size() + 1, 0);
  std::partial_sum(tokens.begin(), tokens.end(), offsets.begin() + 1);
  return offsets;
}

}  // namespace riverrun::output
