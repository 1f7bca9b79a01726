// Sampling: how the next token follows from a row of logits, as the `rwkv` package does it.
//
// Per token, in this order (rwkv.utils.PIPELINE):
//   1. banned tokens can not come; of every token that came before, presence + frequency * count is subtracted;
//   2. p = softmax(logits), at temperature 1; sorted from large to small, the cutoff is the first value at which the
//      running sum reaches top_p; what is below it can not come (ties with it can);
//   3. of the rest only the top_k largest can come, when top_k is not 0;
//   4. p^(1 / temperature), and a draw. 2 to 4 are kernels::Draw (kernels/draw.h).
// top_p 1 leaves all tokens (in the package, where a running fp32 sum can end below 1, it may then be greedy by accident).
// Temperature 0 or top_p 0 is greedy: the largest logit, the lowest id among equal ones. After the token is chosen all
// counts are multiplied with the decay, and the token's count rises by 1, or by 0 when its text is a part of
// " \t0123456789" (it then still pays the presence penalty).
#pragma once

#include <string_view>
#include <unordered_map>

#include "core/types.h"

namespace riverrun::generate {

struct Sampling {
  double temperature = 0;  // 0: greedy
  double top_p = 1;        // in [0, 1]
  Index top_k = 0;         // 0: all
  double presence = 0, frequency = 0, decay = 0.996;  // penalties of tokens that came before

  bool penalises() const { return presence != 0 || frequency != 0; }
  // Of one that is not 0, as large as there is for the smallest.
  float inverse_temperature() const;
  bool greedy() const { return temperature == 0 || top_p == 0 || top_k == 1; }
  bool operator==(const Sampling&) const = default;
};

// InputError for a setting out of its range, naming it as the options do.
void check(const Sampling& sampling);

// How often each token of one text came, with older ones counting less.
class Occurrences {
 public:
  Index size() const { return std::ssize(count_); }
  // What each token that came is to be charged, in any order: size() of them.
  void list_penalties(const Sampling& sampling, TokenId* tokens, float* penalties) const;
  // `counts`: false for tokens that count 0.
  void add(TokenId token, bool counts, double decay);

 private:
  std::unordered_map<TokenId, double> count_;
};

// Whether a token with that text counts in Occurrences.
bool counts_as_repetition(std::string_view text);

}  // namespace riverrun::generate
