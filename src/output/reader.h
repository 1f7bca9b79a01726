// Reading an output file, finished or not, while its job runs or after.
//
// Everything here throws InputError, with the reason, for a file that is not an HDF5 file of schema 1 or is
// damaged. A file that create() made has a checksum over its metadata, which is compared first; for one that
// another program rewrote there is only the HDF5 library's own care. A Reader takes no lock and keeps no
// rows: each call sees what the file holds at that moment.
#pragma once

#include <string>
#include <vector>

#include "output/hdf5_file.h"
#include "output/schema.h"

namespace riverrun::output {

class Reader {
 public:
  // Opens the file and checks that its datasets have the paths, types and shapes of schema 1.
  explicit Reader(const std::string& path);

  const std::string& path() const { return path_; }
  const std::vector<Attribute>& attributes() const {
    return attributes_;
  }                                                           // in the order the file keeps them
  const Attribute* attribute(const std::string& name) const;  // null when there is none
  std::string text(const std::string& name) const;            // InputError when missing or no text
  Index integer(const std::string& name) const;
  // As it was when the first Reader of this file in this process was opened: HDF5 shares its cache between
  // them.
  bool complete() const { return integer("complete") == 1; }

  const std::vector<Dataset>& datasets() const { return datasets_; }  // sorted by path
  const Dataset* dataset(const std::string& dataset_path) const;      // null when there is none

  Index documents() const { return documents_; }
  std::vector<std::string> ids() const;
  std::vector<Index> tokens() const;
  std::vector<Index> bytes() const;
  std::vector<Status> status() const;
  std::vector<std::string> errors() const;  // empty for documents without one

  // Rows [first, first + count) of a dataset of numbers or strings, row-major. RR_CHECK that it exists and
  // has them.
  std::vector<float> floats(const std::string& dataset_path, Index first, Index count) const;
  std::vector<Index> integers(const std::string& dataset_path, Index first, Index count) const;
  std::vector<std::string> strings(const std::string& dataset_path, Index first, Index count) const;
  // One row of a group that the file has; its tokens without what fills the row up.
  GeneratedText generated_text(TextGroup group, Index row) const;

 private:
  const Dataset& need(const std::string& dataset_path) const;
  // Checks type and shape of one dataset; an extent of -1 in `shape` may be anything.
  const Dataset& expect(const std::string& dataset_path, std::vector<Element> elements,
                        const std::vector<Index>& shape) const;
  void check_documents();
  void check_results() const;
  void check_windows() const;
  void check_texts(TextGroup group) const;
  void check_passages() const;
  // The values of `list` are rows of something that has `count`.
  void check_rows_of(const std::string& list, Index rows, const char* what, Index count) const;
  void check_scores() const;

  std::string path_;
  Hdf5File file_;
  std::vector<Attribute> attributes_;
  std::vector<Dataset> datasets_;
  Index documents_ = 0;
};

}  // namespace riverrun::output
