#include "output/writer.h"

#include <algorithm>
#include <functional>
#include <numeric>

#include "core/error.h"
#include "output/metadata.h"
#include "output/reader.h"
#include "output/utf8.h"

namespace riverrun::output {

Writer::Writer(const std::string& path) {
  const Reader reader(path);
  datasets_ = reader.datasets();
  for (const auto& dataset : datasets_) {
    RR_CHECK_INPUT(
        dataset.offset >= 0 || dataset.bytes() == 0, path, ": ", dataset.path,
        " is not stored in one piece; the file was rewritten by another program and cannot be written to");
  }
  file_ = RawFile(path);
  complete_at_ = find_complete_flag(file_, datasets_, reader.integer("complete"));
  RR_CHECK_INPUT(complete_at_ >= 0, path,
                 ": attribute complete is not where riverrun puts it; the file was rewritten ",
                 "by another program and cannot be written to");
  take_lists(reader);
}

void Writer::take_lists(const Reader& reader) {
  status_ = reader.status();
  next_ = status_;
  if (const Dataset* windows = reader.dataset("/windows/embedding")) {
    window_document_ = reader.integers("/windows/document", 0, windows->rows());
  }
  for (const TextGroup group : {TextGroup::sections, TextGroup::answers}) {
    const Dataset* texts = reader.dataset(paths_of(group).text);
    if (!texts) continue;
    text_document_[static_cast<std::size_t>(group)] =
        reader.integers(paths_of(group).document, 0, texts->rows());
  }
  if (const Dataset* passages = reader.dataset("/passages/text")) {
    passage_document_ = reader.integers("/passages/document", 0, passages->rows());
  }
  if (reader.dataset("/scores/logprob"))
    score_offset_ = reader.integers("/scores/offset", 0, documents() + 1);
}

const Dataset& Writer::need(const char* dataset_path) const {
  const auto at =
      std::find_if(datasets_.begin(), datasets_.end(), [&](const auto& d) { return d.path == dataset_path; });
  RR_CHECK(at != datasets_.end(), path(), ": was created without ", dataset_path);
  return *at;
}

// A document that is marked must stay as it is: its mark may already be on the disk.
void Writer::check_open(Index document) const {
  RR_CHECK(!broken_, path(), ": an earlier write failed, nothing more can be written");
  RR_CHECK(document >= 0 && document < documents(), path(), ": document ", document, " of ", documents());
  RR_CHECK(next_[document] != Status::done, path(), ": document ", document, " is marked done already");
}

template <class Action>
void Writer::guarded(Action action) {
  try {
    action();
  } catch (...) {
    broken_ = true;
    throw;
  }
}

void Writer::write_bytes(const Dataset& dataset, Index offset, std::span<const std::byte> bytes,
                         const std::string& what) {
  RR_CHECK(offset >= 0 && offset + static_cast<Index>(bytes.size()) <= dataset.bytes(), path(), ": ", what,
           " would reach beyond ", dataset.path);
  guarded([&] { file_.write(bytes, dataset.offset + offset, what); });
}

void Writer::write_row(const Dataset& dataset, Index row, std::span<const std::byte> value) {
  write_bytes(dataset, row * dataset.row_bytes(), value, concat("row ", row, " of ", dataset.path));
}

void Writer::write_floats(const Dataset& dataset, Index row, std::span<const float> values,
                          Index at_element) {
  const Index offset = row * dataset.row_bytes() + at_element * dataset.element_bytes;
  const std::string what = concat("row ", row, " of ", dataset.path);
  if (dataset.element == Element::f32) return write_bytes(dataset, offset, std::as_bytes(values), what);
  half_.resize(values.size());
  std::transform(values.begin(), values.end(), half_.begin(), float_to_f16);
  write_bytes(dataset, offset, std::as_bytes(std::span(half_)), what);
}

void Writer::write_embedding(Index document, std::span<const float> row) {
  const Dataset& dataset = need("/embeddings");
  check_open(document);
  RR_CHECK(static_cast<Index>(row.size()) == dataset.shape[1], "an embedding of ", row.size(),
           " for a width of ", dataset.shape[1]);
  write_floats(dataset, document, row, 0);
}

void Writer::write_window(Index window, std::span<const float> row) {
  const Dataset& dataset = need("/windows/embedding");
  RR_CHECK(window >= 0 && window < dataset.rows(), path(), ": window ", window, " of ", dataset.rows());
  check_open(window_document_[window]);
  RR_CHECK(static_cast<Index>(row.size()) == dataset.shape[1], "a window embedding of ", row.size(),
           " for a width of ", dataset.shape[1]);
  write_floats(dataset, window, row, 0);
}

void Writer::write_scores(Index first, std::span<const float> logprobs) {
  const Dataset& dataset = need("/scores/logprob");
  if (logprobs.empty()) return;
  const Index end = first + static_cast<Index>(logprobs.size());
  RR_CHECK(first >= 0 && end <= dataset.rows(), path(), ": scores ", first, " to ", end, " of ",
           dataset.rows());
  const auto next = std::upper_bound(score_offset_.begin(), score_offset_.end(), first);
  RR_CHECK(end <= *next, path(), ": scores ", first, " to ", end, " belong to more than one document");
  check_open(next - score_offset_.begin() - 1);
  write_floats(dataset, first, logprobs, 0);
}

void Writer::write_wkv_state(Index document, Index layer, std::span<const float> state) {
  const Dataset& dataset = need("/states/wkv");
  check_open(document);
  const Index size = std::accumulate(dataset.shape.begin() + 2, dataset.shape.end(), Index{1}, std::multiplies<>());
  RR_CHECK(layer >= 0 && layer < dataset.shape[1] && static_cast<Index>(state.size()) == size, "a state of ",
           state.size(), " elements for layer ", layer, " of ", dataset.shape[1], ", which takes ", size);
  write_floats(dataset, document, state, layer * size);
}

void Writer::write_shift_state(Index document, Index layer, std::span<const float> shift) {
  const Dataset& dataset = need("/states/shift");
  check_open(document);
  const Index size = dataset.shape[2] * dataset.shape[3];
  RR_CHECK(layer >= 0 && layer < dataset.shape[1] && static_cast<Index>(shift.size()) == size,
           "shift rows of ", shift.size(), " elements for layer ", layer, " of ", dataset.shape[1],
           ", which takes ", size);
  write_floats(dataset, document, shift, layer * size);
}

void Writer::write_text(TextGroup group, Index row, const GeneratedText& text) {
  const TextPaths& paths = paths_of(group);
  const Dataset& texts = need(paths.text);
  const Dataset& ids = need(paths.tokens);
  RR_CHECK(row >= 0 && row < texts.rows(), path(), ": row ", row, " of ", texts.path, ", which has ",
           texts.rows());
  check_open(paths.document ? text_document_[static_cast<std::size_t>(group)][row] : row);
  RR_CHECK(text.stop_reason != StopReason::none, "a text for row ", row, " of ", texts.path,
           " that has not ended");
  std::string bytes = valid_utf8(text.text);
  std::vector<TokenId> tokens = text.tokens;
  RR_CHECK(static_cast<Index>(bytes.size()) <= texts.element_bytes &&
               static_cast<Index>(tokens.size()) <= ids.shape[1],
           "a text of ", bytes.size(), " bytes and ", tokens.size(), " tokens for row ", row, " of ",
           texts.path, ", which takes ", texts.element_bytes, " bytes and ", ids.shape[1], " tokens");
  bytes.resize(static_cast<std::size_t>(texts.element_bytes), '\0');
  tokens.resize(static_cast<std::size_t>(ids.shape[1]), -1);
  const auto length = static_cast<std::int32_t>(text.tokens.size());
  write_row(texts, row, std::as_bytes(std::span(bytes)));
  write_row(ids, row, std::as_bytes(std::span(tokens)));
  write_row(need(paths.length), row, std::as_bytes(std::span(&length, 1)));
  write_row(need(paths.stop_reason), row, std::as_bytes(std::span(&text.stop_reason, 1)));
}

void Writer::write_passage(Index row, const Passage& passage) {
  const Dataset& texts = need("/passages/text");
  RR_CHECK(row >= 0 && row < texts.rows(), path(), ": passage ", row, " of ", texts.rows());
  check_open(passage_document_[row]);
  std::string bytes = valid_utf8(passage.text);
  RR_CHECK(static_cast<Index>(bytes.size()) <= texts.element_bytes, "a passage of ", bytes.size(), " bytes for row ", row, " of ",
           texts.path, ", which takes ", texts.element_bytes);
  bytes.resize(static_cast<std::size_t>(texts.element_bytes), '\0');
  const Index numbers[] = {passage.first_token, passage.tokens, passage.first_byte, passage.bytes};
  for (std::size_t i = 0; i < std::size(numbers); ++i) write_row(need(kPassageNumbers[i]), row, std::as_bytes(std::span(&numbers[i], 1)));
  write_row(texts, row, std::as_bytes(std::span(bytes)));
}

std::vector<float> Writer::read_windows(Index first, Index count) const {
  const Dataset& dataset = need("/windows/embedding");
  RR_CHECK(first >= 0 && count >= 0 && first + count <= dataset.rows() && dataset.element == Element::f32, path(), ": windows ", first,
           " to ", first + count, " of ", dataset.rows(), " as float32");
  std::vector<float> values(static_cast<std::size_t>(count * dataset.shape[1]));
  if (count > 0) file_.read(std::as_writable_bytes(std::span(values)), dataset.offset + first * dataset.row_bytes(), dataset.path);
  return values;
}

void Writer::mark(Index document, Status status) {
  queue_.push_back(document);
  next_[document] = status;
}

void Writer::mark_done(Index document) {
  check_open(document);
  if (next_[document] == Status::failed) {  // a second try that went well
    const std::string nothing(static_cast<std::size_t>(kErrorBytes), '\0');
    write_bytes(need("/documents/error"), document * kErrorBytes, std::as_bytes(std::span(nothing)),
                concat("row ", document, " of /documents/error"));
  }
  mark(document, Status::done);
}

void Writer::mark_failed(Index document, const std::string& error) {
  check_open(document);
  const std::string text = valid_utf8(error);
  std::string row(utf8_prefix(text, static_cast<std::size_t>(kErrorBytes)));
  row.resize(static_cast<std::size_t>(kErrorBytes), '\0');
  write_bytes(need("/documents/error"), document * kErrorBytes, std::as_bytes(std::span(row)),
              concat("row ", document, " of /documents/error"));
  mark(document, Status::failed);
}

void Writer::commit() {
  RR_CHECK(!broken_, path(), ": an earlier write failed, nothing more can be written");
  if (queue_.empty()) return;
  guarded([&] {
    file_.check_still_named();
    file_.sync_data();
  });
  std::sort(queue_.begin(), queue_.end());
  queue_.erase(std::unique(queue_.begin(), queue_.end()), queue_.end());
  const Dataset& dataset = need("/documents/status");
  for (std::size_t begin = 0; begin < queue_.size();) {
    std::size_t end = begin + 1;
    while (end < queue_.size() && queue_[end] == queue_[end - 1] + 1) ++end;
    const std::span run(next_.data() + queue_[begin], end - begin);
    write_bytes(dataset, queue_[begin], std::as_bytes(run), "/documents/status");
    std::copy(run.begin(), run.end(), status_.begin() + queue_[begin]);
    begin = end;
  }
  queue_.clear();
}

void Writer::finish() {
  commit();
  const auto pending = std::count(status_.begin(), status_.end(), Status::pending);
  RR_CHECK(pending == 0, path(), ": ", pending, " documents are still pending");
  guarded([&] {
    file_.check_still_named();
    file_.sync_data();  // the status bytes before the attribute that speaks for all of them
    write_complete_flag(file_, complete_at_, 1);
    file_.sync_data();
  });
}

}  // namespace riverrun::output
