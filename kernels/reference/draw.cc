#include "kernels/draw.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "kernels/reference/table.h"

namespace riverrun::kernels::reference {

namespace {

using Candidate = std::pair<float, TokenId>;  // distance and token, in the order in which they are preferred

// How many of the sorted candidates hold the mass that is wanted, ties with the last one included.
std::size_t count_of_mass(const std::vector<Candidate>& sorted, double top_p) {
  std::uint64_t mass = 0;
  for (const auto& [distance, token] : sorted) mass += weight_at(distance);
  const std::uint64_t wanted = mass_wanted(mass, top_p);
  std::size_t count = 0;
  for (mass = 0; mass < wanted; ++count) mass += weight_at(sorted[count].first);
  while (count < sorted.size() && sorted[count].first == sorted[count - 1].first) ++count;
  return count;
}

TokenId draw_from(const float* row, TokenId largest, const DrawArgs& args, std::uint64_t random) {
  std::vector<Candidate> candidates;
  for (Index v = 0; v < args.V; ++v) candidates.emplace_back(std::abs(row[largest] - row[v]), static_cast<TokenId>(v));
  std::ranges::sort(candidates);
  if (args.top_p < 1) candidates.resize(count_of_mass(candidates, args.top_p));
  if (args.top_k > 0) candidates.resize(std::min(candidates.size(), static_cast<std::size_t>(args.top_k)));
  std::ranges::sort(candidates, {}, &Candidate::second);
  const auto weight = [&args](const Candidate& candidate) { return weight_at(candidate.first * args.inverse_temperature); };
  std::uint64_t sum = 0;
  for (const Candidate& candidate : candidates) sum += weight(candidate);
  const std::uint64_t share = share_of(random, sum);
  sum = 0;
  return std::ranges::find_if(candidates, [&](const Candidate& candidate) { return (sum += weight(candidate)) > share; })->second;
}

}  // namespace

void draw(const DrawArgs& args, Stream) {
  for (Index m = 0; m < args.M; ++m) {
    if (args.tokens[m] >= 0) args.tokens[m] = draw_from(args.logits + m * args.V, args.tokens[m], args, args.random[m]);
  }
}

}  // namespace riverrun::kernels::reference
