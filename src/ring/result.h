// What the ring computes: what is asked for, and what comes back slice by slice.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/stop_reason.h"
#include "core/types.h"

namespace riverrun::ring {

enum class Pool { mean, last };

// What the job wants of every document. Positions below count the document's own tokens: `start_tokens` leading ids
// (0 or 1: a start token) are read but are neither pooled nor scored.
struct Request {
  Index start_tokens = 0;
  bool embedding = false;  // one vector per document
  Index window = 0;        // one vector per this many tokens; 0: none
  Pool pool = Pool::mean;  // of final hidden states: the mean, or that of the last token
  bool normalize = false;  // vectors to length 1
  bool scores = false;     // log-probability of every token
  bool states = false;     // the state after the last token

  bool sums() const { return (embedding || window > 0) && pool == Pool::mean; }
};

// A text written from the state after a slice (fork.h).
struct WrittenText {
  Index section = 0;             // number of the section, within the document
  std::vector<TokenId> tokens;
  std::string text;
  StopReason stop_reason = StopReason::none;

  bool operator==(const WrittenText&) const = default;
};

// Where a document's first number came up that is NaN or infinite, in the slice whose results or carry show it: in the residual
// stream of `token` (of the sequence) behind `layer`; `layer` = L: in what was computed from it after the last. -1: not known.
struct Trouble {
  Index layer = -1, token = -1;

  bool operator==(const Trouble&) const = default;
};

// What one slice, or the text written after it, adds to its document's results. A document is done when all of them are in.
struct SliceResult {
  Index document = 0;
  Index first_token = 0, tokens = 0;  // of the sequence, in this slice
  bool last = false;               // the document ends here
  bool finite = true;              // false: a number came out NaN or infinite, and the document has failed
  Trouble trouble;                 // of the slice in which the document's numbers stopped being finite
  Index first_score = 0;           // position of scores[0] in the document
  std::vector<float> scores;       // natural-log probabilities; NaN for a first token with nothing before it
  Index first_window = 0;          // number of the first window completed here, within the document
  std::vector<float> windows;      // [completed, D]
  std::vector<float> embedding;    // [D], with the last slice
  std::vector<float> state;        // model::State::values(), with the last slice
  std::optional<WrittenText> written;  // then tokens is 0, and of the above only document and finite mean anything

  bool operator==(const SliceResult&) const = default;
};

// A copy of the carry behind a slice: from it, the document's reading can go on in another run.
struct CarryCopy {
  Index document = 0;
  Index next_token = 0;          // the slice ended before it
  std::uint32_t crc = 0;         // CRC-32C of the bytes
  std::vector<std::byte> bytes;  // Carry::store()

  bool operator==(const CarryCopy&) const = default;
};

// What travels to rank 0. A word is a rank's "I have posted everything", and whether it stops.
enum class Message : Index { result, carry, word };
Message kind_of(std::span<const std::byte> bytes);  // these all throw Error for bytes that pack() did not make

std::vector<std::byte> pack(const SliceResult& result);
SliceResult unpack(std::span<const std::byte> bytes);
std::vector<std::byte> pack(const CarryCopy& copy);
CarryCopy unpack_carry(std::span<const std::byte> bytes);
std::vector<std::byte> pack_word(bool stop);
bool unpack_word(std::span<const std::byte> bytes);

}  // namespace riverrun::ring
