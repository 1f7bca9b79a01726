#include "ring/readout.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"

namespace riverrun::ring {

namespace {
constexpr Index kScoredAtOnce = 256;  // rows between two signs of life
}

bool all_finite(std::span<const float> values) {
  return std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); });
}

void finish_vector(const double* sum, Index count, bool normalize, std::span<float> out) {
  double square = 0;
  for (std::size_t d = 0; d < out.size(); ++d) square += (sum[d] / count) * (sum[d] / count);
  const double scale = normalize && square > 0 ? 1.0 / std::sqrt(square) : 1.0;
  for (std::size_t d = 0; d < out.size(); ++d) out[d] = static_cast<float>(sum[d] / count * scale);
}

Readout::Readout(const model::Model& model, const kernels::KernelTable& kernels, const Request& request, Index block_tokens,
                 Stream stream)
    : model_(model), kernels_(kernels), request_(request), channels_(model.config().channels), stream_(stream), row_(channels_) {
  Device& device = model.device();
  if (request_.sums()) {
    hidden_ = Array<float>(block_tokens * channels_, device);
    sums_ = Array<double>(2 * channels_, device, Memory::shared);
  } else {
    last_ = Array<float>(channels_, device, Memory::shared);
  }
  if (request_.scores) scores_ = Array<float>(block_tokens, device, Memory::shared);
}

void Readout::read(model::Workspace& workspace, const plan::Block& block, std::span<const TokenId> next_ids, const double* sums_in,
                   double* sums_out, std::vector<SliceResult>& results, const std::function<void()>& alive) {
  results.assign(block.slices.size(), {});
  if (request_.sums()) model_.hidden(workspace, 0, block.tokens, hidden_.data());
  if (request_.scores) {
    // All rows at once, so that many short documents share one product; a document's last row predicts nothing.
    targets_.assign(next_ids.begin(), next_ids.end());
    std::replace(targets_.begin(), targets_.end(), TokenId{-1}, TokenId{0});
    for (Index row = 0; row < block.tokens; row += kScoredAtOnce) {
      const auto rows = static_cast<std::size_t>(std::min(kScoredAtOnce, block.tokens - row));
      model_.log_probs(workspace, row, std::span(targets_).subspan(row, rows), scores_.data() + row);
      alive();
    }
    stream_.synchronize();
  }
  Index row = 0;
  for (std::size_t i = 0; i < block.slices.size(); ++i) {
    const plan::Slice& slice = block.slices[i];
    SliceResult& result = results[i];
    result.document = slice.document;
    result.first_token = slice.first_token;
    result.tokens = slice.tokens;
    result.last = slice.last;
    if (request_.sums()) {
      std::ranges::fill(sums_.span(), 0.0);
      if (i == 0 && sums_in) std::copy_n(sums_in, 2 * channels_, sums_.data());
      pool_slice(slice, row, result);
      if (i == 0 && sums_out) std::ranges::copy(sums_.span(), sums_out);
    } else if (request_.embedding || request_.window > 0) {
      last_of_slice(workspace, slice, row, result);
    }
    const bool sums_finite = !request_.sums() || std::ranges::all_of(sums_.span(), [](double sum) { return std::isfinite(sum); });
    result.finite = sums_finite && all_finite(result.windows) && all_finite(result.embedding);
    if (request_.scores) {
      const bool first_is_unknown = slice.first_token == 0 && request_.start_tokens == 0;
      result.first_score = first_is_unknown ? 0 : slice.first_token + 1 - request_.start_tokens;
      if (first_is_unknown) result.scores.push_back(std::numeric_limits<float>::quiet_NaN());
      const Index scored = slice.last ? slice.tokens - 1 : slice.tokens;
      const std::span<const float> values(scores_.data() + row, static_cast<std::size_t>(scored));
      result.scores.insert(result.scores.end(), values.begin(), values.end());
      result.finite = result.finite && all_finite(values);
    }
    row += slice.tokens;
  }
}

void Readout::pool_slice(const plan::Slice& slice, Index first_row, SliceResult& result) {
  double* const document_sum = sums_.data();
  double* const window_sum = sums_.data() + channels_;
  const Index skipped = std::clamp<Index>(request_.start_tokens - slice.first_token, 0, slice.tokens);
  Index token = slice.first_token + skipped - request_.start_tokens;  // of the document's own
  const Index end = slice.first_token + slice.tokens - request_.start_tokens;
  const float* rows = hidden_.data() + (first_row + skipped) * channels_;
  if (request_.embedding) kernels_.sum_rows({end - token, channels_, rows, document_sum}, stream_);
  if (request_.window > 0) {
    result.first_window = token / request_.window;
    while (token < end) {
      const Index window_begin = token / request_.window * request_.window;
      const Index stop = std::min(end, window_begin + request_.window);
      kernels_.sum_rows({stop - token, channels_, rows, window_sum}, stream_);
      rows += (stop - token) * channels_;
      token = stop;
      if (stop == window_begin + request_.window || slice.last) {
        stream_.synchronize();
        append_vector(window_sum, stop - window_begin, result.windows);
        std::fill_n(window_sum, channels_, 0.0);
      }
    }
  }
  stream_.synchronize();
  if (request_.embedding && slice.last) append_vector(document_sum, end, result.embedding);
}

void Readout::last_of_slice(model::Workspace& workspace, const plan::Slice& slice, Index first_row, SliceResult& result) {
  const Index begin = std::max<Index>(0, slice.first_token - request_.start_tokens);
  const Index end = slice.first_token + slice.tokens - request_.start_tokens;
  const auto take = [&](Index token, std::vector<float>& out) {  // the final hidden state of that token
    model_.hidden(workspace, first_row + token + request_.start_tokens - slice.first_token, 1, last_.data());
    stream_.synchronize();
    std::ranges::copy(last_.span(), row_.begin());
    append_vector(row_.data(), 1, out);
  };
  if (request_.window > 0) {
    result.first_window = begin / request_.window;
    for (Index window = result.first_window; window * request_.window < end; ++window) {
      const Index window_end = std::min(end, (window + 1) * request_.window);
      if (window_end == (window + 1) * request_.window || slice.last) take(window_end - 1, result.windows);
    }
  }
  if (request_.embedding && slice.last) take(end - 1, result.embedding);
}

void Readout::append_vector(const double* sum, Index count, std::vector<float>& out) const {
  out.resize(out.size() + channels_);
  finish_vector(sum, count, request_.normalize, std::span(out).last(channels_));
}

}  // namespace riverrun::ring
