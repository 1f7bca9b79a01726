// Writer::create: the one time a file's metadata is written.
#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>

#include "core/error.h"
#include "core/log.h"
#include "output/aside_file.h"
#include "output/create.h"
#include "output/hdf5_file.h"
#include "output/metadata.h"
#include "output/utf8.h"
#include "output/writer.h"

namespace riverrun::output {
namespace {

namespace fs = std::filesystem;

constexpr Index kUnset = 0x7269766572727565;  // `complete` until it has been found in the file
constexpr std::size_t kBufferBytes = std::size_t{1} << 20;

void check_place(const std::string& path, bool replace) {
  std::error_code ignored;
  const auto state = fs::symlink_status(path, ignored);
  RR_CHECK_INPUT(!fs::is_directory(state), path, ": is a directory; the output is a file");
  RR_CHECK_INPUT(replace || !fs::exists(state), path,
                 ": exists already; say --overwrite to replace it");
}

// Writes all metadata; the datasets then know where their data lies.
std::vector<Dataset> write_metadata(const std::string& path, const Layout& layout) {
  Hdf5File file = Hdf5File::create(path);
  file.add_attribute({"schema", kSchema});
  file.add_attribute({"job", layout.job});
  for (const auto& attribute : layout.attributes) {
    file.add_attribute(attribute);
    const auto* text = std::get_if<std::string>(&attribute.value);
    if (text && static_cast<Index>(text->size()) > kMostAttributeBytes) {
      log_warning(path, ": attribute ", attribute.name, " has ", text->size(), " bytes and is cut to ",
                  kMostAttributeBytes);
    }
  }
  file.add_attribute({"complete", kUnset});
  auto datasets = layout.datasets;
  std::string group;
  for (auto& dataset : datasets) {
    const std::string parent = dataset.path.substr(0, dataset.path.rfind('/'));
    if (!parent.empty() && parent != group) file.add_group(parent);
    group = parent;
    dataset.offset = file.add_dataset(dataset);
  }
  file.close();
  return datasets;
}

// Writes a whole dataset through a buffer. `row(i)` may return fewer bytes than a row has.
void write_rows(RawFile& file, const Dataset& dataset, const std::function<std::string(Index)>& row) {
  const auto width = static_cast<std::size_t>(dataset.row_bytes());
  std::string buffer;
  Index at = dataset.offset;
  for (Index i = 0; i < dataset.rows(); ++i) {
    const std::string bytes = row(i);
    buffer.append(bytes).append(width - bytes.size(), '\0');
    if (buffer.size() < kBufferBytes && i + 1 < dataset.rows()) continue;
    file.write(std::as_bytes(std::span(buffer)), at, dataset.path);
    at += static_cast<Index>(buffer.size());
    buffer.clear();
  }
}

void write_known(RawFile& file, const std::vector<Dataset>& datasets, const FileSpec& spec) {
  const auto offsets = score_offsets(spec.tokens);
  std::map<std::string_view, std::span<const Index>> lists = {
      {"/documents/tokens", spec.tokens}, {"/documents/bytes", spec.bytes}, {"/scores/offset", offsets}};
  for (const RowList& list : row_lists(spec)) lists[list.path] = list.values;
  for (const auto& dataset : datasets) {
    if (dataset.path == "/documents/id") {
      write_rows(file, dataset, [&](Index i) { return valid_utf8(spec.ids[i]); });
    } else if (dataset.path == "/questions/text") {
      write_rows(file, dataset, [&](Index i) { return valid_utf8(spec.answers->questions[i]); });
    } else if (const auto list = lists.find(dataset.path); list != lists.end() && !list->second.empty()) {
      file.write(std::as_bytes(list->second), dataset.offset, dataset.path);
    }
  }
}

void check_all_pending(const RawFile& file, const std::vector<Dataset>& datasets) {
  const auto dataset = std::ranges::find(datasets, "/documents/status", &Dataset::path);
  std::vector<std::byte> status(static_cast<std::size_t>(dataset->bytes()));
  if (!status.empty()) file.read(status, dataset->offset, dataset->path);
  RR_CHECK(std::ranges::all_of(status, [](std::byte s) { return s == std::byte{0}; }), file.path(),
           ": a new file does not start with all documents pending");
}

// What is not written by `fill`, and starts as the zeros of fresh blocks, stays zero.
void write_data(RawFile& file, const std::vector<Dataset>& datasets, Index complete, const Fill& fill) {
  const Index end = file.size() + seal_bytes(datasets);
  file.reserve(end);
  fill(file, datasets);
  const Index flag = find_complete_flag(file, datasets, kUnset);
  RR_CHECK(flag >= 0, file.path(), ": this HDF5 library encodes attributes in a way that is not known here");
  write_complete_flag(file, flag, complete);
  write_seal(file, datasets, flag, end);
}

// No fewer bytes than HDF5 writes: it does not get over a disk that is full by then, or a file that may not grow.
Index most_metadata_bytes(const Layout& layout) {
  constexpr Index kFile = 16 << 10, kDataset = 4 << 10, kAttribute = 512;  // a page of the file system where they lie apart
  Index bytes = kFile + kDataset * std::ssize(layout.datasets);
  for (const Attribute& attribute : layout.attributes) {
    const auto* const text = std::get_if<std::string>(&attribute.value);
    bytes += kAttribute + (text ? std::min(std::ssize(*text), kMostAttributeBytes) : 0);
  }
  return bytes;
}

void check_place_for(const std::string& path, const Layout& layout) {
  const Index metadata = most_metadata_bytes(layout);
  Index bytes = metadata;
  for (const Dataset& dataset : layout.datasets) bytes += dataset.bytes();
  check_size_limit(path, bytes);
  check_room(path, metadata);
}

}  // namespace

void create_file(const std::string& path, const Layout& layout, Index complete, bool replace, const Fill& fill) {
  check_place(path, replace);
  AsideFile creating(path + ".creating");
  check_place_for(creating.path(), layout);
  write_data(creating.file(), write_metadata(creating.path(), layout), complete, fill);
  const Writer made(creating.path());  // reads the schema back through HDF5
  check_place(path, replace);
  creating.rename_to(path);
  sync_directory_of(path);
}

void Writer::create(const std::string& path, const FileSpec& spec, bool replace) {
  validate(spec);
  // Everything that is not known yet, /documents/status and /documents/error first of all, starts as zeros.
  create_file(path, {spec.job, spec.attributes, datasets_of(spec)}, 0, replace,
              [&](RawFile& file, const std::vector<Dataset>& datasets) {
                write_known(file, datasets, spec);
                check_all_pending(file, datasets);
              });
}

}  // namespace riverrun::output
