#include "output/merge_inputs.h"

#include <algorithm>
#include <numeric>
#include <string_view>
#include <unordered_map>

#include "core/error.h"
#include "output/reader.h"

namespace riverrun::output {
namespace {

// Texts may have room for the longest one of their file.
bool same_kind(const Dataset& a, const Dataset& b) {
  return a.element == b.element && (a.element_bytes == b.element_bytes || a.element == Element::text) &&
         a.shape.size() == b.shape.size() &&
         std::equal(a.shape.begin() + 1, a.shape.end(), b.shape.begin() + 1);
}

PartRows find_parts(const std::vector<Index>& documents, Index count) {
  PartRows parts{std::vector<Index>(static_cast<std::size_t>(count) + 1, 0),
                 std::vector<Index>(documents.size())};
  for (const Index document : documents) ++parts.first[document + 1];
  std::partial_sum(parts.first.begin(), parts.first.end(), parts.first.begin());
  std::vector<Index> next = parts.first;
  for (std::size_t row = 0; row < documents.size(); ++row)
    parts.rows[next[documents[row]]++] = static_cast<Index>(row);
  return parts;
}

MergeInput open_input(const std::string& path, bool allow_incomplete) {
  const Reader reader(path);
  MergeInput input{path,
                   RawFile::for_reading(path),
                   reader.attributes(),
                   reader.datasets(),
                   reader.ids(),
                   reader.tokens(),
                   {},
                   reader.status(),
                   {},
                   {}};
  RR_CHECK_INPUT(!input.attribute("merged_from"), path,
                 ": is itself the output of a merge; merge all the files at once");
  const auto pending = std::ranges::count(input.status, Status::pending);
  RR_CHECK_INPUT(pending == 0 || allow_incomplete, path, ": ", pending, " of its ", reader.documents(),
                 " documents are still to do; finish it with --resume, or say --allow-incomplete");
  for (const Dataset& dataset : input.datasets) {
    RR_CHECK_INPUT(rows_of(dataset.path) != RowsOf::unknown, path, ": ", dataset.path, " is not of schema ",
                   kSchema, "; merge the file as riverrun wrote it");
    RR_CHECK_INPUT(
        dataset.offset >= 0 || dataset.bytes() == 0, path, ": ", dataset.path,
        " is not stored in one piece; the file was rewritten by another program: merge what riverrun wrote");
    const bool is_list = rows_of(dataset.path) == RowsOf::part && dataset.path.ends_with("/document");
    if (is_list)
      input.parts[group_of(dataset.path)] =
          find_parts(reader.integers(dataset.path, 0, dataset.rows()), reader.documents());
  }
  if (reader.dataset("/questions/text"))
    input.questions = reader.strings("/questions/text", 0, reader.dataset("/questions/text")->rows());
  input.first_score = score_offsets(input.tokens);
  return input;
}

void check_same_attributes(const MergeInput& one, const MergeInput& other) {
  const auto compare = [&](const std::string& name) {
    const Attribute *a = one.attribute(name), *b = other.attribute(name);
    RR_CHECK_INPUT(describes_a_run(name) || name == "complete" || (a && b && a->value == b->value),
                   "cannot merge: ", name, " is ", words_for(a), " in ", one.path, " and ", words_for(b), " in ",
                   other.path);
  };
  for (const MergeInput* input : {&one, &other}) {
    for (const Attribute& attribute : input->attributes) compare(attribute.name);
  }
}

void check_same_datasets(const MergeInput& one, const MergeInput& other) {
  const auto check = [](const MergeInput& has, const MergeInput& lacks) {
    for (const Dataset& dataset : has.datasets) {
      const auto found = std::ranges::find(lacks.datasets, dataset.path, &Dataset::path);
      RR_CHECK_INPUT(found != lacks.datasets.end(), "cannot merge: ", dataset.path, " is in ", has.path,
                     " and not in ", lacks.path);
      RR_CHECK_INPUT(same_kind(dataset, *found), "cannot merge: the rows of ", dataset.path,
                     " are of another kind in ", has.path, " than in ", lacks.path);
    }
  };
  check(one, other);
  check(other, one);
  RR_CHECK_INPUT(one.questions == other.questions, "cannot merge: ", one.path, " and ", other.path,
                 " have other questions");
}

void check_ids(const std::vector<MergeInput>& inputs) {
  std::unordered_map<std::string_view, const MergeInput*> seen;
  for (const MergeInput& input : inputs) {
    for (const std::string& id : input.ids) {
      const auto [earlier, is_new] = seen.insert({id, &input});
      RR_CHECK_INPUT(is_new, "cannot merge: the document \"", id, "\" is in ", earlier->second->path,
                     " and in ", input.path);
    }
  }
}

Index integer(const MergeInput& input, const std::string& name) {
  const Attribute* attribute = input.attribute(name);
  const auto* value = attribute ? std::get_if<Index>(&attribute->value) : nullptr;
  RR_CHECK_INPUT(value, input.path, ": attribute ", name, " is not a number; the file is damaged");
  return *value;
}

// The inputs by the number of their shard.
std::vector<std::size_t> by_shard(const std::vector<MergeInput>& inputs) {
  const Index count = integer(inputs[0], "shards");
  constexpr std::size_t kNone = ~std::size_t{0};
  // As many as are given, since a damaged count may be anything.
  std::vector<std::size_t> at(inputs.size(), kNone);
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const Index number = integer(inputs[i], "shard");
    RR_CHECK_INPUT(number >= 1 && number <= count, inputs[i].path, ": is shard ", number, " of ", count,
                   "; the file is damaged");
    if (number > std::ssize(at)) continue;
    RR_CHECK_INPUT(at[number - 1] == kNone, "cannot merge: ", inputs[at[number - 1]].path, " and ",
                   inputs[i].path, " are both shard ", number);
    at[number - 1] = i;
  }
  const auto missing = std::ranges::find(at, kNone);
  RR_CHECK_INPUT(missing == at.end() && count == std::ssize(at), "cannot merge: shard ",
                 missing - at.begin() + 1, " of ", count, " is missing; give all of them");
  return at;
}

}  // namespace

const Dataset& MergeInput::dataset(const std::string& dataset_path) const {
  const auto found = std::ranges::find(datasets, dataset_path, &Dataset::path);
  RR_CHECK(found != datasets.end(), path, ": has no dataset ", dataset_path);
  return *found;
}

const Attribute* MergeInput::attribute(const std::string& name) const {
  const auto found = std::ranges::find(attributes, name, &Attribute::name);
  return found == attributes.end() ? nullptr : &*found;
}

bool describes_a_run(const std::string& attribute) {
  return tells_only_of_the_run(attribute) || attribute == "shard" || attribute == "states_path" || attribute == "input_crc32c";
}

std::vector<MergeInput> open_inputs(const std::vector<std::string>& paths, bool allow_incomplete) {
  std::vector<MergeInput> inputs;
  for (const std::string& path : paths) {
    inputs.push_back(open_input(path, allow_incomplete));
    check_same_attributes(inputs.front(), inputs.back());
    check_same_datasets(inputs.front(), inputs.back());
  }
  check_ids(inputs);
  return inputs;
}

std::vector<Place> order_documents(const std::vector<MergeInput>& inputs) {
  std::vector<Place> places;
  if (!inputs[0].attribute("shards")) {
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      for (Index row = 0; row < std::ssize(inputs[i].ids); ++row) places.push_back({i, row});
    }
    return places;
  }
  // Document k of the whole input, from 0, is row k / N of shard k % N.
  const std::vector<std::size_t> at = by_shard(inputs);
  Index documents = 0;
  for (const MergeInput& input : inputs) documents += std::ssize(input.ids);
  const Index shards = std::ssize(at);
  for (Index s = 0; s < shards; ++s) {
    const MergeInput& input = inputs[at[s]];
    const Index expected = (documents - s + shards - 1) / shards;
    RR_CHECK_INPUT(std::ssize(input.ids) == expected, "cannot merge: ", input.path, " has ", input.ids.size(),
                   " documents where shard ", s + 1, " of ", shards, " has ", expected, " of ", documents,
                   "; was the input changed between the shards?");
  }
  for (Index k = 0; k < documents; ++k) places.push_back({at[k % shards], k / shards});
  return places;
}

}  // namespace riverrun::output
