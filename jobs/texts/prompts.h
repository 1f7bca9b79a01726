// Prompts: what is read around a document so that a model writes about it.
#pragma once

#include <string>
#include <vector>

namespace riverrun::jobs {

// A text that is read ahead of the document, between its sections, and behind it or a section before the model writes.
struct Prompts {
  std::string template_name;  // "world", ..., or "file"
  std::string before;         // once, before the document; its state is used for every document
  std::string reminder;       // between two sections; the reading goes on after it
  std::string section;        // after a section: what is written next is the section's text
  std::string after;          // after the document: what is written next is its summary
  std::string question;       // after the state of a document: "{question}" in it stands for what is asked
  std::string opening;        // what the model is expected to write first, which is no part of a text
  std::vector<std::string> stops;
};

// A built-in template by name: world, g1, raven, plain. "auto" goes by the model's file name and the tokenizer's name.
// InputError for another name, listing them.
Prompts find_template(const std::string& name, const std::string& model_path, const std::string& tokenizer);

// A prompt file: the parts of a template that it gives replace those of `base`. Lines [before], [reminder], [section], [after]
// and [question] begin a part; its text is what stands between them, less the last line break. A line that begins with \[ stands
// for one that begins with [. InputError, with the line, for an unknown or repeated part, text ahead of the first one, a file
// without parts or not UTF-8, or of more than 1 MiB.
Prompts read_prompt_file(const std::string& path, Prompts base);

}  // namespace riverrun::jobs
