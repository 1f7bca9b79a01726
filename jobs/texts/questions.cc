#include "jobs/texts/questions.h"

#include <istream>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "jobs/open_text.h"
#include "text/utf8.h"

namespace riverrun::jobs {

namespace {

constexpr std::size_t kMostBytes = std::size_t{64} << 10;
constexpr std::size_t kMostQuestions = 1000000;

void check_question(const std::string& question, const std::string& where) {
  RR_CHECK_INPUT(!question.empty(), where, ": the question is empty");
  RR_CHECK_INPUT(question.size() <= kMostBytes, where, ": a question of ", question.size(), " bytes; the most is ", kMostBytes);
  RR_CHECK_INPUT(text::find_invalid_utf8(question) < 0, where, ": the question is not UTF-8");
}

// The next line without its end; false at the end of the file, or where it cannot be read. No more of a line is read than could be a question.
bool next_line(std::istream& file, std::string& line, const std::string& where) {
  line.clear();
  for (int c; (c = file.get()) != std::char_traits<char>::eof() && c != '\n';) {
    line.push_back(static_cast<char>(c));
    RR_CHECK_INPUT(line.size() <= 8 * kMostBytes, where, ": the line is too long for a question");
  }
  return !line.empty() || file.good();
}

std::string parse_line(const std::string& line, const std::string& where) {
  // Nested deeper than an object in an object: of no use here, and the parser recurses.
  const auto shallow = [](int depth, nlohmann::json::parse_event_t, nlohmann::json&) { return depth <= 2; };
  const auto json = nlohmann::json::parse(line, shallow, false);
  RR_CHECK_INPUT(json.is_object() && json.contains("question") && json["question"].is_string(), where,
                 R"(: not an object with a text "question", such as {"question": "Who spoke first?"})");
  return json["question"].get<std::string>();
}

}  // namespace

std::vector<std::string> read_questions(std::vector<std::string> questions, const std::string& path) {
  for (const std::string& question : questions) check_question(question, "--question");
  if (!path.empty()) {
    std::ifstream file = open_text("--questions", path);
    std::string line;
    for (std::size_t number = 1; next_line(file, line, concat(path, " line ", number)); ++number) {
      if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
      const std::string where = concat(path, " line ", number);
      questions.push_back(parse_line(line, where));
      check_question(questions.back(), where);
      RR_CHECK_INPUT(questions.size() <= kMostQuestions, where, ": more than ", kMostQuestions, " questions");
    }
    RR_CHECK_INPUT(!file.bad(), with_errno("cannot read --questions " + path));
  }
  RR_CHECK_INPUT(!questions.empty(), "there is nothing to ask; give --question \"...\" or --questions FILE.jsonl");
  return questions;
}

}  // namespace riverrun::jobs
