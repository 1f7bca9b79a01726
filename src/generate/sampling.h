// Sampling: from a row of logits to the next token, as the `rwkv` package does it.
//
// Per token, in this order (rwkv.utils.PIPELINE):
//   1. banned tokens can not come; of every token that came before, presence + frequency * count is subtracted;
//   2. p = softmax(logits), at temperature 1; sorted from large to small, the cutoff is the first value at which the
//      running sum reaches top_p; what is below it can not come (ties with it can);
//   3. of the rest only the top_k largest can come, when top_k is not 0;
//   4. p^(1 / temperature), and a draw.
// top_p 1 leaves all tokens (in the package, where a running fp32 sum can end below 1, it may then be greedy by accident).
// Temperature 0 or top_p 0 is greedy: the largest logit, the lowest id among equal ones. After the token is chosen all
// counts are multiplied with the decay, and the token's count rises by 1, or by 0 when its text is a part of
// " \t0123456789" (it then still pays the presence penalty).
#pragma once

#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/types.h"

namespace riverrun::generate {

struct Sampling {
  double temperature = 0;  // 0: greedy
  double top_p = 1;        // in [0, 1]
  Index top_k = 0;         // 0: all
  double presence = 0, frequency = 0, decay = 0.996;  // penalties of tokens that came before

  bool penalises() const { return presence != 0 || frequency != 0; }
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

// Draws tokens; keeps its memory from one to the next. Not for several threads at once.
class Sampler {
 public:
  // The token for `uniform` in [0, 1); logits of minus infinity can not come. `largest` is the token that kernels::PickLargest
  // gives for the logits, and so is the result where that is -1, and when sampling is greedy: then no logits are needed.
  TokenId draw(std::span<const float> logits, TokenId largest, const Sampling& sampling, double uniform);

 private:
  struct Candidate {
    float p;  // not normalised
    TokenId token;
  };
  void sort_down_to(double mass, Index most);

  std::vector<Candidate> candidates_;
};

}  // namespace riverrun::generate
