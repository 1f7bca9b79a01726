// Writing an output file so that a kill at any moment loses nothing that was marked done.
//
// create() makes the whole file: every dataset contiguous and allocated, its space reserved, everything that
// is known beforehand in place; synced, then renamed to its name. From then on no metadata changes and HDF5
// does not hold the file: a Writer puts rows where they belong with pwrite. The status byte of a document is
// written after fdatasync of its rows, so a row is either marked done and right, or not marked.
//
// One process and one thread write a file. Failures to write are Errors that name the file, the rows and the
// reason; after one the Writer refuses to go on, because after a failed sync Linux may call the next one
// good.
#pragma once

#include <array>
#include <span>
#include <string>
#include <vector>

#include "output/raw_file.h"
#include "output/schema.h"

namespace riverrun::output {

class Reader;

class Writer {
 public:
  // Makes `path` with all documents pending. InputError when it exists, unless `replace`: then the old file
  // stays until the new one takes its place. `path`.creating, left behind by a crash, is replaced.
  static void create(const std::string& path, const FileSpec& spec, bool replace = false);

  // Opens a file that create() made, to start or to resume. InputError when it is anything else, a file
  // rewritten by another program included.
  explicit Writer(const std::string& path);

  // Rows of a document may be written in any order and again, until it is marked. Sizes are checked.
  // Embeddings are [D] and are rounded to nearest, ties to even, when the file holds float16.
  void write_embedding(Index document, std::span<const float> row);
  void write_window(Index window, std::span<const float> row);
  // `first` is the position in /scores/logprob; all are of one document.
  void write_scores(Index first, std::span<const float> logprobs);
  // [H, N, N] as [head][value][key], and [2, D]; `layer` counts the layers that the file keeps.
  void write_wkv_state(Index document, Index layer, std::span<const float> state);
  void write_shift_state(Index document, Index layer, std::span<const float> shift);
  // An Error when the group has no room for it: whoever generates stops before. A byte that is not UTF-8
  // takes the three bytes of U+FFFD.
  void write_text(TextGroup group, Index row, const GeneratedText& text);
  void write_passage(Index row, const Passage& passage);  // an Error when there is no room for its text
  // Windows [first, first + count) as the file has them: [count, D].
  std::vector<float> read_windows(Index first, Index count) const;

  // Queued; the mark is in the file when commit() returns. A failed document may be written and marked again.
  void mark_done(Index document);
  void mark_failed(Index document, const std::string& error);  // the text is cut to 160 bytes

  void commit();  // fdatasync of the rows, then the status bytes; returns at once when nothing is queued
  void finish();  // commits, brings all to the disk and sets `complete`; RR_CHECK that no document is pending

  const std::vector<Status>& status() const { return status_; }  // as committed
  Index documents() const { return static_cast<Index>(status_.size()); }
  const std::string& path() const { return file_.path(); }

 private:
  const Dataset& need(const char* dataset_path) const;
  void take_lists(const Reader& reader);
  void check_open(Index document) const;
  void write_floats(const Dataset& dataset, Index row, std::span<const float> values, Index at_element);
  void write_bytes(const Dataset& dataset, Index offset, std::span<const std::byte> bytes,
                   const std::string& what);
  void write_row(const Dataset& dataset, Index row, std::span<const std::byte> value);
  void mark(Index document, Status status);
  template <class Action>
  void guarded(Action action);

  RawFile file_;
  std::vector<Dataset> datasets_;
  Index complete_at_ = -1;             // offset of the value of attribute `complete`
  std::vector<Status> status_, next_;  // in the file; and with the queued marks
  std::vector<Index> queue_;           // documents marked since the last commit
  std::vector<Index> window_document_, passage_document_;
  std::array<std::vector<Index>, 3> text_document_;  // by TextGroup; empty where row i belongs to document i
  std::vector<Index> score_offset_;
  std::vector<std::uint16_t> half_;
  bool broken_ = false;
};

}  // namespace riverrun::output
