#include <cmath>
#include <vector>

#include "kernels/reference/table.h"

namespace riverrun::kernels::reference {

namespace {

// LayerNorm of x[0..D) into y, which may be x.
void normalize(const float* x, Index D, const float* weight, const float* bias, float eps, float* y) {
  double mean = 0, variance = 0;
  for (Index d = 0; d < D; ++d) mean += x[d];
  mean /= static_cast<double>(D);
  for (Index d = 0; d < D; ++d) variance += (x[d] - mean) * (x[d] - mean);
  variance /= static_cast<double>(D);
  const double scale = 1 / std::sqrt(variance + eps);
  for (Index d = 0; d < D; ++d) y[d] = static_cast<float>((x[d] - mean) * scale * weight[d] + bias[d]);
}

}  // namespace

void layer_norm(const LayerNormArgs& args, Stream) {
  std::vector<float> row(args.D);
  for (Index m = 0; m < args.M; ++m) {
    normalize(args.x + m * args.D, args.D, args.weight, args.bias, args.eps, row.data());
    for (Index d = 0; d < args.D; ++d) store_float(args.y, args.y_type, m * args.D + d, row[d]);
  }
}

void embed(const EmbedArgs& args, Stream) {
  for (Index m = 0; m < args.M; ++m) {
    const TokenId id = args.ids[m];
    RR_CHECK(id >= 0 && id < args.V, "token ", id, " of a vocabulary of ", args.V);
    float* row = args.x + m * args.D;
    for (Index d = 0; d < args.D; ++d) row[d] = load_float(args.table, args.table_type, id * args.D + d);
    if (args.weight != nullptr) normalize(row, args.D, args.weight, args.bias, args.eps, row);
  }
}

void shift_mix(const ShiftMixArgs& args, Stream) {
  check_segments(args.segment_count, args.segments, args.M);
  const Index D = args.D;
  std::vector<float> before(D), now(D);
  for (Index s = 0; s < args.segment_count; ++s) {
    if (args.rows_in[s] != nullptr) {
      before.assign(args.rows_in[s], args.rows_in[s] + D);
    } else {
      before.assign(D, 0.0f);
    }
    for (Index t = args.segments[s].begin; t < args.segments[s].end; ++t) {
      normalize(args.x + t * D, D, args.weight, args.bias, args.eps, now.data());
      for (Index q = 0; q < args.mixes; ++q) {
        for (Index d = 0; d < D; ++d) {
          const double mixed = now[d] + (double{before[d]} - now[d]) * args.mu[q][d];
          store_float(args.out[q], args.out_type, t * D + d, static_cast<float>(mixed));
        }
      }
      if (args.normal != nullptr) std::copy(now.begin(), now.end(), args.normal + t * D);
      for (Index d = 0; args.change != nullptr && d < D; ++d) args.change[t * D + d] = before[d] - now[d];
      before.swap(now);
    }
    if (args.rows_out[s] != nullptr) std::copy(before.begin(), before.end(), args.rows_out[s]);
  }
}

void dynamic_mix(const DynamicMixArgs& args, Stream) {
  for (Index i = 0; i < args.M * args.D; ++i) {
    for (Index q = 0; q < args.mixes; ++q) {
      const double share = double{args.mu[q][i % args.D]} + args.delta[q][i];
      store_float(args.out[q], args.out_type, i, static_cast<float>(args.normal[i] + args.change[i] * share));
    }
  }
}

}  // namespace riverrun::kernels::reference
