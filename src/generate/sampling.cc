#include "generate/sampling.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"

namespace riverrun::generate {

void check(const Sampling& s) {
  RR_CHECK_INPUT(s.temperature >= 0 && s.temperature <= 100, "--temperature ", s.temperature, " is not between 0 and 100");
  RR_CHECK_INPUT(s.top_p >= 0 && s.top_p <= 1, "--top-p ", s.top_p, " is not between 0 and 1");
  RR_CHECK_INPUT(s.top_k >= 0, "--top-k ", s.top_k, " is negative");
  RR_CHECK_INPUT(std::abs(s.presence) <= 1000, "--presence-penalty ", s.presence, " is not between -1000 and 1000");
  RR_CHECK_INPUT(std::abs(s.frequency) <= 1000, "--frequency-penalty ", s.frequency, " is not between -1000 and 1000");
  RR_CHECK_INPUT(s.decay >= 0 && s.decay <= 1, "--penalty-decay ", s.decay, " is not between 0 and 1");
}

void Occurrences::list_penalties(const Sampling& s, TokenId* tokens, float* penalties) const {
  for (const auto& [token, count] : count_) *tokens++ = token, *penalties++ = static_cast<float>(s.presence + count * s.frequency);
}

void Occurrences::add(TokenId token, bool counts, double decay) {
  for (auto& [other, count] : count_) count *= decay;
  count_[token] += counts ? 1.0 : 0.0;
}

bool counts_as_repetition(std::string_view text) {
  return std::string_view(" \t0123456789").find(text) == std::string_view::npos;
}

// Brings the largest candidates to the front, sorted, until they hold `mass` of the sum or are `most`.
void Sampler::sort_down_to(double mass, Index most) {
  const auto before = [](const Candidate& a, const Candidate& b) { return a.p != b.p ? a.p > b.p : a.token < b.token; };
  Index sorted = 0;
  double sum = 0;
  // Most of the mass lies in few tokens: sort as many as it takes, a few times more at each try.
  for (Index upto = 64; sorted < std::ssize(candidates_); upto *= 8) {
    const auto begin = candidates_.begin() + sorted, end = candidates_.begin() + std::min(upto, Index(std::ssize(candidates_)));
    std::partial_sort(begin, end, candidates_.end(), before);
    for (; candidates_.begin() + sorted != end; ++sorted) {
      sum += candidates_[sorted].p;
      if (sum < mass && sorted + 1 < most) continue;
      // Ties with the last one stay, unless there are enough.
      const float cutoff = candidates_[sorted].p;
      const auto rest = candidates_.begin() + sorted + 1;
      const auto ties = std::partition(rest, candidates_.end(), [cutoff](const Candidate& c) { return c.p == cutoff; });
      std::sort(rest, ties, before);
      candidates_.resize(std::min<Index>(most, ties - candidates_.begin()));
      return;
    }
  }
}

TokenId Sampler::draw(std::span<const float> logits, TokenId largest, const Sampling& s, double uniform) {
  if (largest < 0 || s.greedy()) return largest;
  candidates_.clear();
  double sum = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const float p = std::exp(logits[i] - logits[largest]);
    if (p == 0) continue;
    candidates_.push_back({p, static_cast<TokenId>(i)});
    sum += p;
  }
  const Index all = std::ssize(candidates_);
  if (s.top_p < 1 || s.top_k > 0) sort_down_to(s.top_p < 1 ? s.top_p * sum : std::numeric_limits<double>::infinity(), s.top_k > 0 ? s.top_k : all);
  double mass = 0;
  for (Candidate& candidate : candidates_) {
    if (s.temperature != 1) candidate.p = static_cast<float>(std::pow(double(candidate.p), 1 / s.temperature));
    mass += candidate.p;
  }
  double left = uniform * mass;
  for (const Candidate& candidate : candidates_) {
    left -= candidate.p;
    if (left < 0) return candidate.token;
  }
  return candidates_.back().token;  // uniform * mass was rounded up to the mass
}

}  // namespace riverrun::generate
