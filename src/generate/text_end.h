// TextEnd: when a text ends, and what of it is shown.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/stop_reason.h"
#include "core/types.h"

namespace riverrun::generate {

struct EndRules {
  std::vector<TokenId> stop_tokens;     // end a text and are no part of it
  std::vector<std::string> stop_texts;  // end it where they begin; bytes, none empty
  Index max_tokens = 256;
  Index max_bytes = Index{1} << 30;     // of the text: a token that would go beyond ends it, and is no part of it
};

class TextEnd {
 public:
  // `rules` must outlive this.
  explicit TextEnd(const EndRules& rules) : rules_(&rules) {}

  // Takes the next token and its bytes; afterwards reason() says whether the text has ended.
  void add(TokenId token, std::string_view bytes);

  StopReason reason() const { return reason_; }
  const std::vector<TokenId>& tokens() const { return tokens_; }  // that make up the text, the stop text included
  // What can be shown so far: whole UTF-8 characters, and nothing that may turn out to be the beginning of a stop text.
  // It only grows. Once the text has ended it is all of it, less a character that was cut off.
  std::string_view text() const;

 private:
  const EndRules* rules_;
  StopReason reason_ = StopReason::none;
  std::vector<TokenId> tokens_;
  std::string bytes_;
};

}  // namespace riverrun::generate
