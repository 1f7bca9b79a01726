// Answers: what `riverrun ask` makes of its texts: rows of the output file, and lines on the terminal (rank 0).
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "jobs/texts/kept_states.h"
#include "jobs/texts/writing.h"
#include "output/writer.h"
#include "ring/result.h"

namespace riverrun::jobs {

// One document and one question: a row of /answers.
struct Asked {
  Index document, question;
};

struct AnswerFile {
  std::string path;  // empty: none
  bool overwrite = false;
  std::vector<output::Attribute> attributes;
};

class Answers {
 public:
  // All but `file` must outlive it. Documents that are not done in `states` are marked failed. `precision`: of the model's products.
  Answers(const KeptStates& states, const std::vector<std::string>& questions, const std::vector<Asked>& rows, const TextRules& rules,
          DType precision, const AnswerFile& file);

  void take(Index row, const ring::WrittenText& text);
  // All rows are in: marks the documents, prints. Returns how many answers failed.
  Index finish();

 private:
  void print(Index row, const std::string& text) const;

  const std::vector<std::string>& questions_;
  const std::vector<Asked>& rows_;
  std::vector<std::string> ids_;
  const char* const advice_;  // when numbers are not finite
  std::unique_ptr<output::Writer> writer_;
  std::map<Index, std::string> shown_;        // texts to print, by row
  std::vector<Index> left_;                   // per document: answers still to come
  std::map<Index, std::string> failed_;       // documents, and why
};

}  // namespace riverrun::jobs
