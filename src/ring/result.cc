#include "ring/result.h"

#include <array>
#include <cstring>

#include "core/error.h"

namespace riverrun::ring {

namespace {

struct Fixed {
  Index document, tokens, last, finite, first_score, first_window;
  Index sizes[4];
};

auto arrays(auto& result) {
  return std::array{&result.scores, &result.windows, &result.embedding, &result.state};
}

}  // namespace

std::vector<std::byte> pack(const SliceResult& result) {
  Fixed fixed{result.document, result.tokens, result.last, result.finite, result.first_score, result.first_window, {}};
  std::size_t bytes = sizeof fixed;
  const auto parts = arrays(result);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    fixed.sizes[i] = static_cast<Index>(parts[i]->size());
    bytes += parts[i]->size() * sizeof(float);
  }
  std::vector<std::byte> out(bytes);
  std::memcpy(out.data(), &fixed, sizeof fixed);
  std::byte* at = out.data() + sizeof fixed;
  for (const auto* part : parts) {
    if (part->empty()) continue;
    std::memcpy(at, part->data(), part->size() * sizeof(float));
    at += part->size() * sizeof(float);
  }
  return out;
}

SliceResult unpack(std::span<const std::byte> bytes) {
  Fixed fixed;
  RR_CHECK(bytes.size() >= sizeof fixed, "a result of ", bytes.size(), " bytes");
  std::memcpy(&fixed, bytes.data(), sizeof fixed);
  SliceResult result;
  result.document = fixed.document;
  result.tokens = fixed.tokens;
  result.last = fixed.last != 0;
  result.finite = fixed.finite != 0;
  result.first_score = fixed.first_score;
  result.first_window = fixed.first_window;
  std::size_t at = sizeof fixed;
  const auto parts = arrays(result);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const auto left = static_cast<Index>((bytes.size() - at) / sizeof(float));
    RR_CHECK(fixed.sizes[i] >= 0 && fixed.sizes[i] <= left, "a result that is cut short");
    const auto size = static_cast<std::size_t>(fixed.sizes[i]);
    parts[i]->resize(size);
    if (size != 0) std::memcpy(parts[i]->data(), bytes.data() + at, size * sizeof(float));
    at += size * sizeof(float);
  }
  RR_CHECK(at == bytes.size(), "a result with bytes left over");
  return result;
}

}  // namespace riverrun::ring
