// Schema 1 of riverrun's HDF5 output: what a file holds, known in full before any model is run.
//
// A first pass over the input gives every count, so a FileSpec fixes each dataset's path, type and shape. The
// paths are a contract with users (docs/hdf5.md). All rows are in input order. Strings are fixed-length
// UTF-8, padded with NUL; bytes that are not UTF-8, and NUL itself, are stored as U+FFFD.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/stop_reason.h"
#include "core/types.h"

namespace riverrun::output {

constexpr Index kSchema = 1;
constexpr Index kErrorBytes = 160;    // one row of /documents/error
constexpr Index kMostIdBytes = 4096;  // a longer document id is an InputError
constexpr Index kMostQuestionBytes = 65536;  // and a longer question
constexpr Index kMostAttributeBytes =
    32768;  // a longer text is cut and ends in "..."; HDF5's limit is 64 KiB

// One byte of /documents/status. Anything else a row holds means nothing until its status is done.
enum class Status : std::uint8_t { pending = 0, done = 1, failed = 2 };

struct Attribute {
  std::string name;
  std::variant<std::string, Index, double> value;
};

// Attributes that say from where, when and how a run was started: what it gives does not depend on them.
bool tells_only_of_the_run(std::string_view attribute);

// Its value for a message; "nothing" for null.
std::string words_for(const Attribute* attribute);

enum class Element : std::uint8_t { text, u8, i32, i64, f16, f32, f64, other };

const char* name_of(Element element);  // as h5py says it: "float32", "int64"; text is "string"

struct Dataset {
  std::string path;  // "/documents/tokens"
  Element element = Element::other;
  Index element_bytes = 0;  // of one element; for text the fixed length
  std::vector<Index> shape;
  Index offset = -1;  // of the first byte; -1: not one contiguous piece, or empty, or not yet known

  Index rows() const { return shape.empty() ? 1 : shape.front(); }
  Index row_elements() const;  // product of all extents but the first
  Index row_bytes() const { return row_elements() * element_bytes; }
  Index bytes() const { return rows() * row_bytes(); }
};

// /windows: one row per window of a document, any number per document.
struct WindowsSpec {
  std::vector<Index> document, first_token, tokens;  // [w] each
};

// /states: what the last token of a document leaves behind.
struct StatesSpec {
  // /states/wkv: float32 [n, wkv_layers, ...part_shape]; {H, N, N} as [head][value][key], or {D, 3} for RWKV-4
  Index wkv_layers = 0;
  std::vector<Index> part_shape;
  // /states/shift: float32 [n, shift_layers, 2, D]
  Index shift_layers = 0, channels = 0;
};

// Room for the longest text of a group of generated texts. The whole rows are allocated when the file is.
struct TextsSpec {
  Index text_bytes = 0;   // <group>/text: string [rows]
  Index most_tokens = 0;  // generated ids: int32 [rows, most_tokens], filled up with -1
};

// /sections: one row per section of a document, any number per document.
struct SectionsSpec {
  std::vector<Index> document, first_token, tokens;  // [s] each: what the section covers, as in /windows
  TextsSpec texts;
};

// /answers: one row per pair of document and question, in any order; /questions/text: string [q].
struct AnswersSpec {
  std::vector<std::string> questions;     // [q]
  std::vector<Index> document, question;  // [a] each; a question is a row of /questions
  TextsSpec texts;
};

// /passages: the windows of a document that stand for it. How many a document has is known beforehand; which ones, when its
// last window is in.
struct PassagesSpec {
  std::vector<Index> document;  // [p], one after the other in rising order
  Index text_bytes = 0;         // /passages/text: string [p]
};

// One row of /passages.
struct Passage {
  Index first_token = 0, tokens = 0;  // of its document
  Index first_byte = 0, bytes = 0;    // of the document's text, as its tokens spell it
  std::string text;
};

struct FileSpec {
  std::string job;                     // attribute `job`: "embed", "score", "summarize"
  std::vector<Attribute> attributes;   // all others; `schema`, `job` and `complete` are written by the writer
  std::vector<std::string> ids;        // /documents/id      [n]
  std::vector<Index> tokens, bytes;    // /documents/tokens  [n], /documents/bytes [n]
  Index embedding_width = 0;           // D > 0: /embeddings [n, D]
  bool embedding_f16 = false;          // /embeddings and /windows/embedding as IEEE half instead of float32
  std::optional<WindowsSpec> windows;  // needs embedding_width
  bool scores = false;                 // /scores/offset int64 [n+1], /scores/logprob float32 [sum of tokens]
  std::optional<StatesSpec> states;
  std::optional<TextsSpec> summaries;  // /summaries: one row per document
  std::optional<SectionsSpec> sections;
  std::optional<AnswersSpec> answers;
  std::optional<PassagesSpec> passages;  // needs windows

  Index documents() const { return static_cast<Index>(ids.size()); }
};

// One row of a group of generated texts. One that was written has ended: its reason is not `none`.
struct GeneratedText {
  std::string text;
  std::vector<TokenId> tokens;
  StopReason stop_reason = StopReason::none;
};

enum class TextGroup : std::uint8_t { summaries, sections, answers };

struct TextPaths {
  const char *text, *tokens, *length, *stop_reason;  // string, int32 [most], int32, uint8
  const char* document;                              // int64; null: row i belongs to document i
};
const TextPaths& paths_of(TextGroup group);

// The numbers of a Passage, in its order.
inline constexpr const char* kPassageNumbers[] = {"/passages/first_token", "/passages/tokens", "/passages/first_byte", "/passages/bytes"};

// What a row of a dataset belongs to, which its path alone tells.
enum class RowsOf : std::uint8_t {
  document,  // row i to document i
  part,      // to the document that row i of the list `document` of the same group names
  token,     // to the document in whose range of /scores/offset it lies
  file,      // to all of it
  unknown    // schema 1 has no such dataset
};
RowsOf rows_of(const std::string& dataset_path);

// "/windows" of "/windows/tokens", "" of "/embeddings".
std::string group_of(const std::string& dataset_path);

// Checks that the lists agree with each other (Error; InputError for an id or a question that is too long).
void validate(const FileSpec& spec);

// The attribute as the file will hold it: text made valid UTF-8, and cut when it is too long.
Attribute stored(const Attribute& attribute);

// All datasets of the file, in file order, offsets not yet known.
std::vector<Dataset> datasets_of(const FileSpec& spec);

// A list that says what the rows of /windows, /sections, /answers or /passages are: "window 3 had the first token 7".
struct RowList {
  const char *path, *row, *what;
  std::span<const Index> values;
};

// Those of this file; the values are the spec's own.
std::vector<RowList> row_lists(const FileSpec& spec);

// Size of all rows, in bytes. The file itself is larger by its metadata and by alignment: at most about 8 KiB
// per dataset, plus the attributes.
Index payload_bytes(const FileSpec& spec);

// /scores/offset of these documents: [n+1], the first 0, the last the sum of all tokens.
std::vector<Index> score_offsets(const std::vector<Index>& tokens);

}  // namespace riverrun::output
