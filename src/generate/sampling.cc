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

float Sampling::inverse_temperature() const {
  return static_cast<float>(std::min(1 / temperature, double{std::numeric_limits<float>::max()}));
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

}  // namespace riverrun::generate
