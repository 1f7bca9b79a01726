// Random numbers of a text: a function of what is drawn for, not of what was drawn before.
//
// So that a text does not depend on the rank, batch or order in which texts are written, the number for each draw comes
// from a counter: Philox4x32-10 of Salmon, Moraes, Dror, Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3" (SC 2011).
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "core/types.h"

namespace riverrun::generate {

// The Philox4x32-10 block function.
std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter, std::array<std::uint32_t, 2> key);

// What a document's id is among random numbers. Part of what a seed means, so it never changes.
std::uint64_t document_key(std::string_view document_id);

// The draws of one text.
class Draws {
 public:
  // `section` tells the texts of one document apart, and is below 2^32.
  Draws(std::uint64_t seed, std::uint64_t document_key, Index section);
  // Uniform over all values, for the token at `position` of the text, below 2^32.
  std::uint64_t word(Index position) const;

 private:
  std::uint64_t seed_, document_;
  std::uint32_t section_;
};

}  // namespace riverrun::generate
