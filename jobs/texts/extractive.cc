#include "jobs/texts/extractive.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/error.h"

namespace riverrun::jobs {

namespace {

template <class A, class B>
double dot(std::span<const A> a, std::span<const B> b) {
  // Eight sums side by side, in this order whatever the compiler makes of it: one sum would wait for itself.
  constexpr std::size_t kLanes = 8;
  double sums[kLanes] = {};
  std::size_t i = 0;
  for (; i + kLanes <= a.size(); i += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) sums[lane] += static_cast<double>(a[i + lane]) * static_cast<double>(b[i + lane]);
  }
  for (; i < a.size(); ++i) sums[i % kLanes] += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return std::accumulate(std::begin(sums), std::end(sums), 0.0);
}

class Windows {
 public:
  Windows(std::span<const float> values, Index width) : values_(values), width_(static_cast<std::size_t>(width)) {
    mean_.resize(width_);
    for (Index i = 0; i < count(); ++i) {
      norms_.push_back(std::sqrt(dot(row(i), row(i))));
      RR_CHECK(std::isfinite(norms_.back()), "window ", i, " holds a value that is NaN or infinite");
      for (std::size_t d = 0; d < width_; ++d) mean_[d] += static_cast<double>(row(i)[d]);
    }
    const std::span<const double> mean(mean_);  // the sum: a cosine does not see the difference
    mean_norm_ = std::sqrt(dot(mean, mean));
  }

  Index count() const { return static_cast<Index>(values_.size() / width_); }
  double relevance(Index i) const { return cosine(dot(row(i), std::span<const double>(mean_)), norms_[i], mean_norm_); }
  double similarity(Index i, Index j) const { return cosine(dot(row(i), row(j)), norms_[i], norms_[j]); }

 private:
  std::span<const float> row(Index i) const { return values_.subspan(static_cast<std::size_t>(i) * width_, width_); }
  static double cosine(double product, double a, double b) { return a > 0 && b > 0 ? product / a / b : 0; }

  std::span<const float> values_;
  std::size_t width_;
  std::vector<double> norms_, mean_;
  double mean_norm_ = 0;
};

}  // namespace

std::vector<Index> choose_passages(std::span<const float> values, Index width, Index count, double lambda) {
  RR_CHECK(width > 0 && std::ssize(values) % width == 0, values.size(), " values are no rows of ", width);
  RR_CHECK(count >= 0 && lambda >= 0 && lambda <= 1, "passages: ", count, ", lambda: ", lambda);
  const Windows windows(values, width);
  std::vector<double> relevance, redundancy(static_cast<std::size_t>(windows.count()), 0);
  for (Index i = 0; i < windows.count(); ++i) relevance.push_back(windows.relevance(i));
  std::vector<bool> taken(relevance.size(), false);
  std::vector<Index> chosen;
  while (std::ssize(chosen) < std::min(count, windows.count())) {
    Index best = -1;
    double best_gain = -std::numeric_limits<double>::infinity();
    for (Index i = 0; i < windows.count(); ++i) {
      const double gain = lambda * relevance[i] - (1 - lambda) * redundancy[i];
      if (taken[i] || gain <= best_gain) continue;
      best = i;
      best_gain = gain;
    }
    for (Index i = 0; i < windows.count(); ++i) {
      const double similarity = windows.similarity(i, best);
      redundancy[i] = chosen.empty() ? similarity : std::max(redundancy[i], similarity);
    }
    taken[best] = true;
    chosen.push_back(best);
  }
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

}  // namespace riverrun::jobs
