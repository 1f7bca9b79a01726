// The files that a merge joins: what they hold, whether they belong together, and in which order their
// documents go.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "output/raw_file.h"
#include "output/schema.h"

namespace riverrun::output {

// The parts of each document among the rows of a group such as /windows: those of document d are
// rows[first[d]], ..., rows[first[d + 1] - 1].
struct PartRows {
  std::vector<Index> first, rows;
};

// One file, read when the merge began: documents that a job finishes meanwhile stay pending.
struct MergeInput {
  std::string path;
  RawFile raw;
  std::vector<Attribute> attributes;
  std::vector<Dataset> datasets;
  std::vector<std::string> ids;
  std::vector<Index> tokens, first_score;
  std::vector<Status> status;
  std::map<std::string, PartRows> parts;  // by group
  std::vector<std::string> questions;

  const Dataset& dataset(const std::string& dataset_path) const;
  const Attribute* attribute(const std::string& name) const;  // null when there is none
};

// A document of the merged file: a row of one of the inputs.
struct Place {
  std::size_t input = 0;
  Index row = 0;
};

// Attributes that describe a run and not its results: they may differ between the files of a merge.
bool describes_a_run(const std::string& attribute);

// Opens and reads them, and checks that they can be joined; InputError as merge.h says.
std::vector<MergeInput> open_inputs(const std::vector<std::string>& paths, bool allow_incomplete);

// All documents, in the order of the merged file.
std::vector<Place> order_documents(const std::vector<MergeInput>& inputs);

}  // namespace riverrun::output
