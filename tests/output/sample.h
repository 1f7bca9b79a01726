// A small output file with every dataset of schema 1, and a folder to put it in.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "output/schema.h"
#include "tests/support/temporary_folder.h"

namespace riverrun::output::testing {

using test::read_file;
using test::TemporaryFolder;
using test::write_file;

// What `call` throws, as text; empty when it throws nothing.
template <class Call>
std::string error_of(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

template <class Call>
bool is_input_error(Call call) {
  try {
    call();
  } catch (const InputError&) {
    return true;
  } catch (const Error&) {
  }
  return false;
}

// Four documents, one of them empty; ids of one to four bytes per character; two windows,
// three sections, two questions with an answer each, two passages.
inline FileSpec full_spec() {
  FileSpec spec;
  spec.job = "embed";
  spec.attributes = {{"riverrun_version", "0.1.0"},
                     {"command", "riverrun embed"},
                     {"model_path", "/models/Füße.pth"},
                     {"model_sha256", "abc"},
                     {"precision", "fp32"},
                     {"created", "2025-01-01T00:00:00Z"},
                     {"layers", Index{2}},
                     {"block_tokens", Index{4096}},
                     {"temperature", 0.1},
                     {"empty", ""}};
  spec.ids = {"plain", "Füße/日本.txt", "", "\xf0\x9f\x8c\x8a"};
  spec.tokens = {3, 0, 5, 1};
  spec.bytes = {10, 0, 21, 4};
  spec.embedding_width = 3;
  spec.windows = WindowsSpec{{0, 2}, {0, 2}, {3, 3}};
  spec.scores = true;
  spec.states = StatesSpec{1, {2, 2, 2}, 2, 4};
  spec.summaries = TextsSpec{16, 4};
  spec.sections = SectionsSpec{{0, 2, 2}, {0, 0, 4}, {3, 4, 1}, {12, 2}};
  spec.answers = AnswersSpec{{"Who?", "Où?"}, {2, 0}, {1, 0}, {8, 3}};
  spec.passages = PassagesSpec{{0, 2}, 9};
  return spec;
}

// Documents of 7 tokens with an embedding each.
inline FileSpec embeddings_spec(Index documents, Index width) {
  FileSpec spec;
  spec.job = "embed";
  for (Index i = 0; i < documents; ++i) spec.ids.push_back(concat("document ", i));
  spec.tokens.assign(static_cast<std::size_t>(documents), 7);
  spec.bytes.assign(static_cast<std::size_t>(documents), 30);
  spec.embedding_width = width;
  return spec;
}

}  // namespace riverrun::output::testing
