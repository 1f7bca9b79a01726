#include "ring/result.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "core/error.h"

namespace riverrun::ring {

namespace {

struct Fixed {
  Message kind;
  Index document, first_token, tokens, last, finite;
  Trouble trouble;
  Index first_score, first_window;
  Index sizes[4];
  Index section, stop_reason;  // of a written text; a section of -1: none
  Index text_tokens, text_bytes;
};

struct FixedCarry {
  Message kind;
  Index document, next_token, crc;
};

struct Word {
  Message kind;
  Index stop;
};

template <class Struct>
Struct fixed_part(std::span<const std::byte> bytes, Message kind) {
  Struct fixed;
  RR_CHECK(bytes.size() >= sizeof fixed && kind_of(bytes) == kind, "a message of ", bytes.size(), " bytes on its way to rank 0 is damaged");
  std::memcpy(&fixed, bytes.data(), sizeof fixed);
  return fixed;
}

auto arrays(auto& result) {
  return std::array{&result.scores, &result.windows, &result.embedding, &result.state};
}

}  // namespace

std::vector<std::byte> pack(const SliceResult& result) {
  Fixed fixed{Message::result, result.document, result.first_token, result.tokens, result.last, result.finite, result.trouble,
              result.first_score, result.first_window, {}, -1, 0, 0, 0};
  std::size_t bytes = sizeof fixed;
  if (const auto& written = result.written) {
    fixed.section = written->section, fixed.stop_reason = static_cast<Index>(written->stop_reason);
    fixed.text_tokens = std::ssize(written->tokens), fixed.text_bytes = std::ssize(written->text);
    bytes += written->tokens.size() * sizeof(TokenId) + written->text.size();
  }
  const auto parts = arrays(result);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    fixed.sizes[i] = static_cast<Index>(parts[i]->size());
    bytes += parts[i]->size() * sizeof(float);
  }
  std::vector<std::byte> out(bytes);
  std::memcpy(out.data(), &fixed, sizeof fixed);
  std::byte* at = out.data() + sizeof fixed;
  const auto put = [&at](const void* from, std::size_t size) {
    if (size != 0) std::memcpy(at, from, size);
    at += size;
  };
  for (const auto* part : parts) put(part->data(), part->size() * sizeof(float));
  if (const auto& written = result.written) {
    put(written->tokens.data(), written->tokens.size() * sizeof(TokenId));
    put(written->text.data(), written->text.size());
  }
  return out;
}

SliceResult unpack(std::span<const std::byte> bytes) {
  const auto fixed = fixed_part<Fixed>(bytes, Message::result);
  const auto is_flag = [](Index value) { return value == 0 || value == 1; };
  const bool no_text = fixed.section == -1 && fixed.stop_reason == 0 && fixed.text_tokens == 0 && fixed.text_bytes == 0;
  const bool a_text = fixed.section >= 0 && fixed.stop_reason >= 0 && fixed.stop_reason <= static_cast<Index>(StopReason::length);
  RR_CHECK(is_flag(fixed.last) && is_flag(fixed.finite) && (no_text || a_text), "a result that came damaged");
  SliceResult result;
  result.document = fixed.document;
  result.first_token = fixed.first_token;
  result.tokens = fixed.tokens;
  result.last = fixed.last != 0;
  result.finite = fixed.finite != 0;
  result.trouble = fixed.trouble;
  result.first_score = fixed.first_score;
  result.first_window = fixed.first_window;
  std::size_t at = sizeof fixed;
  const auto get = [&](auto& values, Index count) {
    const std::size_t element = sizeof(values[0]);
    RR_CHECK(count >= 0 && count <= static_cast<Index>((bytes.size() - at) / element), "a result that is cut short");
    const auto size = static_cast<std::size_t>(count);
    values.resize(size);
    if (size != 0) std::memcpy(values.data(), bytes.data() + at, size * element);
    at += size * element;
  };
  const auto parts = arrays(result);
  for (std::size_t i = 0; i < parts.size(); ++i) get(*parts[i], fixed.sizes[i]);
  if (fixed.section >= 0) {
    WrittenText& written = result.written.emplace();
    written.section = fixed.section;
    written.stop_reason = static_cast<StopReason>(fixed.stop_reason);
    get(written.tokens, fixed.text_tokens);
    get(written.text, fixed.text_bytes);
  }
  RR_CHECK(at == bytes.size(), "a result with bytes left over");
  return result;
}

Message kind_of(std::span<const std::byte> bytes) {
  Message kind;
  RR_CHECK(bytes.size() >= sizeof kind, "a message of ", bytes.size(), " bytes on its way to rank 0");
  std::memcpy(&kind, bytes.data(), sizeof kind);
  return kind;
}

std::vector<std::byte> pack(const CarryCopy& copy) {
  const FixedCarry fixed{Message::carry, copy.document, copy.next_token, copy.crc};
  std::vector<std::byte> bytes(sizeof fixed + copy.bytes.size());
  std::memcpy(bytes.data(), &fixed, sizeof fixed);
  std::ranges::copy(copy.bytes, bytes.begin() + sizeof fixed);
  return bytes;
}

CarryCopy unpack_carry(std::span<const std::byte> bytes) {
  const auto fixed = fixed_part<FixedCarry>(bytes, Message::carry);
  const auto payload = bytes.subspan(sizeof fixed);
  return {fixed.document, fixed.next_token, static_cast<std::uint32_t>(fixed.crc), {payload.begin(), payload.end()}};
}

std::vector<std::byte> pack_word(bool stop) {
  const Word word{Message::word, stop};
  const auto bytes = std::as_bytes(std::span(&word, 1));
  return {bytes.begin(), bytes.end()};
}

bool unpack_word(std::span<const std::byte> bytes) { return fixed_part<Word>(bytes, Message::word).stop != 0; }

}  // namespace riverrun::ring
