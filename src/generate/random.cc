#include "generate/random.h"

#include <limits>

#include "core/error.h"

namespace riverrun::generate {

namespace {

constexpr int kRounds = 10;
constexpr std::uint32_t kMultiplier[] = {0xd2511f53u, 0xcd9e8d57u};
constexpr std::uint32_t kWeyl[] = {0x9e3779b9u, 0xbb67ae85u};

std::uint32_t high(std::uint64_t value) { return static_cast<std::uint32_t>(value >> 32); }
std::uint32_t low(std::uint64_t value) { return static_cast<std::uint32_t>(value); }

std::uint32_t as_word(const char* what, Index value) {
  RR_CHECK(value >= 0 && value <= std::numeric_limits<std::uint32_t>::max(), what, " ", value, " of a text");
  return static_cast<std::uint32_t>(value);
}

}  // namespace

std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> c, std::array<std::uint32_t, 2> key) {
  for (int round = 0; round < kRounds; ++round) {
    const std::uint64_t a = std::uint64_t{kMultiplier[0]} * c[0], b = std::uint64_t{kMultiplier[1]} * c[2];
    c = {high(b) ^ c[1] ^ key[0], low(b), high(a) ^ c[3] ^ key[1], low(a)};
    key[0] += kWeyl[0], key[1] += kWeyl[1];
  }
  return c;
}

// 64-bit FNV-1a.
std::uint64_t document_key(std::string_view document_id) {
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const char byte : document_id) hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3u;
  return hash;
}

Draws::Draws(std::uint64_t seed, std::uint64_t document_key, Index section)
    : seed_(seed), document_(document_key), section_(as_word("section", section)) {}

std::uint64_t Draws::word(Index position) const {
  const auto words = philox({low(document_), high(document_), section_, as_word("position", position)}, {low(seed_), high(seed_)});
  return std::uint64_t{words[1]} << 32 | words[0];
}

}  // namespace riverrun::generate
