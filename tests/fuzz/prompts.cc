// Prompt files, and files of questions (JSON Lines) where the input begins with "{".
#include "jobs/texts/prompts.h"

#include "jobs/texts/questions.h"
#include "tests/fuzz/fuzz.h"
#include "text/utf8.h"

using namespace riverrun;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const fuzz::InputFile input("prompts");
  const std::string_view bytes = fuzz::text_of(data, size);
  try {
    const std::string& path = input.write(bytes);
    if (bytes.starts_with('{')) {
      for (const std::string& question : jobs::read_questions({}, path)) fuzz::must(!question.empty(), "a question is not empty");
      return 0;
    }
    const jobs::Prompts prompts = jobs::read_prompt_file(path, {});
    for (const std::string* part : {&prompts.before, &prompts.reminder, &prompts.section, &prompts.after, &prompts.question}) {
      fuzz::must(part->size() <= size && text::find_invalid_utf8(*part) < 0, "a part is a piece of the file, and UTF-8");
    }
  } catch (const InputError&) {
    return 0;
  }
  return 0;
}
