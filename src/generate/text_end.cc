#include "generate/text_end.h"

#include <algorithm>

namespace riverrun::generate {

namespace {

// How many bytes at the end are a character that may still become whole: 0 to 3.
std::size_t unfinished_character(std::string_view bytes) {
  for (std::size_t back = 1; back <= std::min<std::size_t>(3, bytes.size()); ++back) {
    const auto byte = static_cast<unsigned char>(bytes[bytes.size() - back]);
    if (byte < 0x80) return 0;
    if (byte >= 0xc0) {
      const std::size_t length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
      return back < length ? back : 0;
    }
  }
  return 0;
}

// The longest end of `text` that is a beginning of `stop`, all of it excepted.
std::size_t overlap(std::string_view text, std::string_view stop) {
  for (std::size_t size = std::min(text.size(), stop.size() - 1); size > 0; --size) {
    if (text.ends_with(stop.substr(0, size))) return size;
  }
  return 0;
}

}  // namespace

void TextEnd::add(TokenId token, std::string_view bytes) {
  if (std::find(rules_->stop_tokens.begin(), rules_->stop_tokens.end(), token) != rules_->stop_tokens.end()) {
    reason_ = StopReason::stop_token;
    return;
  }
  if (static_cast<Index>(bytes_.size() + bytes.size()) > rules_->max_bytes) {
    reason_ = StopReason::length;
    return;
  }
  const std::size_t before = bytes_.size();
  tokens_.push_back(token);
  bytes_ += bytes;
  std::size_t end = std::string::npos;
  for (const std::string& stop : rules_->stop_texts) {
    const std::size_t from = before >= stop.size() ? before - stop.size() + 1 : 0;
    end = std::min(end, bytes_.find(stop, from));
  }
  if (end != std::string::npos) {
    bytes_.resize(end);
    reason_ = StopReason::stop_text;
  } else if (std::ssize(tokens_) >= rules_->max_tokens) {
    reason_ = StopReason::length;
  }
}

std::string_view TextEnd::text() const {
  std::string_view shown = bytes_;
  if (reason_ == StopReason::none) {
    std::size_t held = 0;
    for (const std::string& stop : rules_->stop_texts) held = std::max(held, overlap(shown, stop));
    shown.remove_suffix(held);
  }
  shown.remove_suffix(unfinished_character(shown));
  return shown;
}

}  // namespace riverrun::generate
