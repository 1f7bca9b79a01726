#include "jobs/texts/prompts.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <set>

#include "core/error.h"
#include "core/log.h"
#include "jobs/open_text.h"
#include "text/utf8.h"

namespace riverrun::jobs {

namespace {

constexpr std::size_t kMostFileBytes = std::size_t{1} << 20;

// RWKV reads in order and keeps what it is told to keep: the task comes before the document, again between its sections, and
// once more behind it. "\n\n" parts the turns of a chat; the models were trained without a space behind the last colon.
const std::string kBefore =
    "Below is a document. Read it carefully and remember its main points: you will be asked to summarise it.\n\n";
const std::string kReminder = "\n\n(Remember the main points of the document so far. It goes on below.)\n\n";
const std::string kSection = "User: Summarise the part of the document that you have just read, in a few sentences.\n\nAssistant:";
const std::string kAfter = "User: That was the whole document. Summarise it: its main points, in their order.\n\nAssistant:";

const std::string kQuestion = "User: {question}\n\nAssistant:";

const std::array<Prompts, 4>& templates() {
  static const std::array<Prompts, 4> kTemplates = {{
      {"world", "User: " + kBefore, kReminder, "\n\n" + kSection, "\n\n" + kAfter, "\n\n" + kQuestion, "", {"\n\n"}},
      // G1 models think before they answer; an empty thought asks for the answer. They write the last ">" themselves.
      {"g1", "User: " + kBefore, kReminder, "\n\n" + kSection + " <think>\n</think", "\n\n" + kAfter + " <think>\n</think",
       "\n\n" + kQuestion + " <think>\n</think", ">", {"\nUser:"}},
      {"raven", kBefore, kReminder, "\n\nInstruction: Summarise the text above.\n\nResponse:",
       "\n\nInstruction: Summarise the whole text above.\n\nResponse:", "\n\nInstruction: {question}\n\nResponse:", "", {"\n\n"}},
      {"plain", "", "", "\n\nSummary of this part:", "\n\nSummary of the text:", "\n\nQuestion: {question}\n\nAnswer:", "", {"\n\n"}},
  }};
  return kTemplates;
}

std::string detect_template(const std::string& model_path, const std::string& tokenizer) {
  std::string name = std::filesystem::path(model_path).filename().string();
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (name.find("-g1") != std::string::npos || name.find("_g1") != std::string::npos) return "g1";
  if (name.find("raven") != std::string::npos) return "raven";
  return tokenizer == "gpt-neox" ? "plain" : "world";
}

std::string read_whole(const std::string& path) {
  std::ifstream file = open_text("--prompt-file", path);
  std::string text(kMostFileBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  RR_CHECK_INPUT(!file.bad(), with_errno("cannot read --prompt-file " + path));
  text.resize(static_cast<std::size_t>(file.gcount()));
  RR_CHECK_INPUT(text.size() <= kMostFileBytes, "--prompt-file ", path, " is larger than 1 MiB; a prompt is a page or two");
  const Index invalid = text::find_invalid_utf8(text);
  RR_CHECK_INPUT(invalid < 0, "--prompt-file ", path, ": byte ", invalid, " is not UTF-8");
  if (text.starts_with(text::kByteOrderMark)) text.erase(0, text::kByteOrderMark.size());
  std::erase(text, '\r');
  return text;
}

}  // namespace

Prompts find_template(const std::string& name, const std::string& model_path, const std::string& tokenizer) {
  const std::string wanted = name == "auto" ? detect_template(model_path, tokenizer) : name;
  std::string known = "auto";
  for (const Prompts& prompts : templates()) {
    if (prompts.template_name == wanted) {
      log_info("template: ", wanted, name == "auto" ? " (by the model's name; choose another with --template)" : "");
      return prompts;
    }
    known += ", " + prompts.template_name;
  }
  throw InputError(concat("--template '", name, "' is none of ", known));
}

Prompts read_prompt_file(const std::string& path, Prompts prompts) {
  const std::pair<const char*, std::string*> parts[] = {{"[before]", &prompts.before}, {"[reminder]", &prompts.reminder},
                                                        {"[section]", &prompts.section}, {"[after]", &prompts.after},
                                                        {"[question]", &prompts.question}};
  const std::string text = read_whole(path);
  std::string* part = nullptr;
  std::set<std::string> seen;
  Index number = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    std::string line = text.substr(at, end - at);
    at = end + 1;
    ++number;
    if (line.starts_with("[") && line.ends_with("]")) {
      if (part && part->ends_with('\n')) part->pop_back();
      const auto known = std::find_if(std::begin(parts), std::end(parts), [&](const auto& p) { return line == p.first; });
      RR_CHECK_INPUT(known != std::end(parts), path, " line ", number, ": there is no part ", line,
                     "; the parts are [before], [reminder], [section], [after] and [question], and a line of text begins with \\[");
      RR_CHECK_INPUT(seen.insert(line).second, path, " line ", number, ": the part ", line, " is there already");
      part = known->second;
      part->clear();
      continue;
    }
    RR_CHECK_INPUT(part || line.empty(), path, " line ", number, ": text before the first part; begin with a line [before], [section] or [after]");
    if (!part) continue;
    if (line.starts_with("\\[")) line.erase(0, 1);
    *part += line + "\n";
  }
  RR_CHECK_INPUT(part, path, ": no part was found; begin with a line [before], [section] or [after]");
  if (part->ends_with('\n')) part->pop_back();
  prompts.template_name = "file";
  prompts.opening.clear();
  return prompts;
}

}  // namespace riverrun::jobs
