#include "output/merge.h"

#include <algorithm>
#include <filesystem>
#include <functional>

#include "core/error.h"
#include "output/create.h"
#include "output/merge_inputs.h"
#include "output/utf8.h"

namespace riverrun::output {
namespace {

constexpr std::size_t kMergeBufferBytes = std::size_t{4} << 20;

// Appends ranges of rows to one dataset of the merged file.
class RowCopier {
 public:
  RowCopier(RawFile& file, const Dataset& target) : file_(file), target_(target), at_(target.offset) {}

  void add(const MergeInput& input, const Dataset& source, Index first, Index count) {
    if (count == 0) return;
    if (&input != input_ || first != end_) copy();
    if (!input_) {
      input_ = &input;
      source_ = &source;
      first_ = first;
    }
    end_ = first + count;
  }

  void finish() {
    copy();
    write();
    RR_CHECK(target_.bytes() == 0 || at_ == target_.offset + target_.bytes(), target_.path, ": ",
             at_ - target_.offset, " bytes were joined where there is room for ", target_.bytes());
  }

 private:
  // Reads the range that was put together from adjacent ones.
  void copy() {
    if (!input_) return;
    const Index width = source_->row_bytes(), wider = target_.row_bytes() - width;
    if (wider == 0) read(source_->offset + first_ * width, (end_ - first_) * width);
    for (Index row = first_; wider > 0 && row < end_; ++row) {  // texts
      read(source_->offset + row * width, width);
      buffer_.resize(buffer_.size() + static_cast<std::size_t>(wider));
    }
    input_ = nullptr;
  }

  void read(Index offset, Index bytes) {
    while (bytes > 0) {
      if (buffer_.size() >= kMergeBufferBytes) write();
      const std::size_t used = buffer_.size(),
                        piece = std::min(static_cast<std::size_t>(bytes), kMergeBufferBytes - used);
      buffer_.resize(used + piece);
      input_->raw.read(std::span(buffer_).subspan(used), offset, target_.path);
      offset += static_cast<Index>(piece);
      bytes -= static_cast<Index>(piece);
    }
  }

  void write() {
    if (!buffer_.empty()) file_.write(buffer_, at_, target_.path);
    at_ += static_cast<Index>(buffer_.size());
    buffer_.clear();
  }

  RawFile& file_;
  const Dataset& target_;
  Index at_;
  std::vector<std::byte> buffer_;
  const MergeInput* input_ = nullptr;  // of the range not yet read; null: there is none
  const Dataset* source_ = nullptr;
  Index first_ = 0, end_ = 0;
};

class Merge {
 public:
  Merge(std::vector<MergeInput> inputs, const MergeOptions& options)
      : inputs_(std::move(inputs)), options_(options) {
    places_ = order_documents(inputs_);
    add_provenance();
  }

  Merged write(const std::string& path) {
    Merged merged{std::ssize(places_), 0, 0};
    for (const MergeInput& input : inputs_) {
      merged.failed += std::ranges::count(input.status, Status::failed);
      merged.pending += std::ranges::count(input.status, Status::pending);
    }
    const Layout layout{std::get<std::string>(inputs_[0].attribute("job")->value), attributes(), datasets()};
    create_file(path, layout, merged.pending == 0, options_.replace,
                [&](RawFile& file, const std::vector<Dataset>& datasets) {
                  for (const Dataset& dataset : datasets) fill(file, dataset);
                });
    return merged;
  }

 private:
  std::vector<Attribute> attributes() const {
    std::vector<Attribute> all = options_.attributes;
    for (const Attribute& attribute : inputs_[0].attributes) {
      const std::string& name = attribute.name;
      const bool written_otherwise =
          name == "schema" || name == "job" || name == "complete" || name == "shards";
      // One path of the model is as good as another: its checksum is what was compared.
      if (!written_otherwise && (name == "model_path" || !describes_a_run(name))) all.push_back(attribute);
    }
    all.push_back({"merged_from", std::ssize(inputs_)});
    return all;
  }

  std::vector<Dataset> datasets() const {
    std::vector<Dataset> all;
    for (Dataset dataset : inputs_[0].datasets) {
      dataset.offset = -1;
      if (dataset.path == "/scores/offset") dataset.shape[0] = std::ssize(places_) + 1;
      const bool joined = rows_of(dataset.path) != RowsOf::file;
      for (std::size_t i = 1; i < inputs_.size(); ++i) {
        const Dataset& other = inputs_[i].dataset(dataset.path);
        if (joined) dataset.shape[0] += other.rows();
        dataset.element_bytes = std::max(dataset.element_bytes, other.element_bytes);
      }
      all.push_back(std::move(dataset));
    }
    for (const auto& [path, column] : texts_) {
      std::size_t longest = 0;
      for (const std::string& text : column) longest = std::max(longest, text.size());
      all.push_back({path, Element::text, static_cast<Index>(longest) + 1, {std::ssize(column)}});
    }
    for (const auto& [path, column] : numbers_) all.push_back({path, Element::i64, 8, {std::ssize(column)}});
    return all;
  }

  // /shards: one row per file, of what the job of these files records.
  void add_provenance() {
    for (const Attribute& kind : inputs_[0].attributes) {
      if (!describes_a_run(kind.name)) continue;
      const bool is_text = std::holds_alternative<std::string>(kind.value);
      for (const MergeInput& input : inputs_) {
        const Attribute* found = input.attribute(kind.name);
        const bool alike = found && found->value.index() == kind.value.index() &&
                           !std::holds_alternative<double>(kind.value);
        RR_CHECK_INPUT(alike, input.path, ": has no attribute ", kind.name, " like that of ",
                       inputs_[0].path);
        if (is_text)
          texts_["/shards/" + kind.name].push_back(std::get<std::string>(found->value));
        else
          numbers_["/shards/" + kind.name].push_back(std::get<Index>(found->value));
      }
    }
    for (const MergeInput& input : inputs_) {
      texts_["/shards/path"].push_back(valid_utf8(std::filesystem::absolute(input.path).string()));
      numbers_["/shards/documents"].push_back(std::ssize(input.ids));
    }
  }

  void fill(RawFile& file, const Dataset& dataset) const {
    const std::string& path = dataset.path;
    if (dataset.bytes() == 0) return;
    if (const auto column = texts_.find(path); column != texts_.end())
      return write_texts(file, dataset, column->second);
    if (const auto column = numbers_.find(path); column != numbers_.end())
      return write_numbers(file, dataset, column->second);
    if (path == "/documents/status") return write_status(file, dataset);
    if (path == "/scores/offset") return write_numbers(file, dataset, score_offsets(gather_tokens()));
    if (rows_of(path) == RowsOf::part && path.ends_with("/document"))
      return write_numbers(file, dataset, part_documents(group_of(path)));
    copy_rows(file, dataset);
  }

  void copy_rows(RawFile& file, const Dataset& dataset) const {
    RowCopier copier(file, dataset);
    std::vector<const Dataset*> sources;
    for (const MergeInput& input : inputs_) sources.push_back(&input.dataset(dataset.path));
    const RowsOf rows = rows_of(dataset.path);
    if (rows == RowsOf::file) copier.add(inputs_[0], *sources[0], 0, dataset.rows());  // all have the same
    const std::string group = group_of(dataset.path);
    for (std::size_t k = 0; rows != RowsOf::file && k < places_.size(); ++k) {
      const auto [i, row] = places_[k];
      const MergeInput& input = inputs_[i];
      if (rows == RowsOf::document) copier.add(input, *sources[i], row, 1);
      if (rows == RowsOf::token) copier.add(input, *sources[i], input.first_score[row], input.tokens[row]);
      if (rows != RowsOf::part) continue;
      const PartRows& parts = input.parts.at(group);
      for (Index p = parts.first[row]; p < parts.first[row + 1]; ++p)
        copier.add(input, *sources[i], parts.rows[p], 1);
    }
    copier.finish();
  }

  std::vector<Index> part_documents(const std::string& group) const {
    std::vector<Index> documents;
    for (std::size_t k = 0; k < places_.size(); ++k) {
      const PartRows& parts = inputs_[places_[k].input].parts.at(group);
      const Index row = places_[k].row;
      documents.insert(documents.end(), static_cast<std::size_t>(parts.first[row + 1] - parts.first[row]),
                       static_cast<Index>(k));
    }
    return documents;
  }

  std::vector<Index> gather_tokens() const {
    std::vector<Index> tokens;
    for (const auto& [i, row] : places_) tokens.push_back(inputs_[i].tokens[row]);
    return tokens;
  }

  void write_status(RawFile& file, const Dataset& dataset) const {
    std::vector<Status> status;
    for (const auto& [i, row] : places_) status.push_back(inputs_[i].status[row]);
    file.write(std::as_bytes(std::span(status)), dataset.offset, dataset.path);
  }

  static void write_numbers(RawFile& file, const Dataset& dataset, const std::vector<Index>& values) {
    RR_CHECK(std::ssize(values) == dataset.rows(), dataset.path, ": ", values.size(), " values for ",
             dataset.rows(), " rows");
    file.write(std::as_bytes(std::span(values)), dataset.offset, dataset.path);
  }

  static void write_texts(RawFile& file, const Dataset& dataset, const std::vector<std::string>& texts) {
    std::string rows;
    for (const std::string& text : texts)
      rows.append(text).append(static_cast<std::size_t>(dataset.element_bytes) - text.size(), '\0');
    file.write(std::as_bytes(std::span(rows)), dataset.offset, dataset.path);
  }

  const std::vector<MergeInput> inputs_;
  const MergeOptions& options_;
  std::vector<Place> places_;
  std::map<std::string, std::vector<std::string>> texts_;  // columns of /shards, by path
  std::map<std::string, std::vector<Index>> numbers_;
};

}  // namespace

Merged merge(const std::string& path, const std::vector<std::string>& inputs, const MergeOptions& options) {
  RR_CHECK_INPUT(!inputs.empty(), "there are no files to merge");
  for (const std::string& input : inputs) {
    std::error_code error;
    RR_CHECK_INPUT(!std::filesystem::equivalent(path, input, error), path,
                   " is one of the files to merge; name another for the output");
  }
  return Merge(open_inputs(inputs, options.allow_incomplete), options).write(path);
}

}  // namespace riverrun::output
