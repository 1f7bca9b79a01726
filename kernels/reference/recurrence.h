// What WKV-6 and WKV-7 share here: the state of one head, and the walk over segments and heads.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <vector>

#include "core/types.h"
#include "kernels/segment.h"

namespace riverrun::kernels::reference {

// Row-major.
struct Matrix {
  Index rows, cols;
  std::vector<float> data;

  Matrix(Index r, Index c) : rows(r), cols(c), data(static_cast<std::size_t>(r * c)) {}
  float& operator()(Index r, Index c) { return data[r * cols + c]; }
  float operator()(Index r, Index c) const { return data[r * cols + c]; }
};

// What the products of a chunked kernel take for x: of a model in fp32 x itself, else x rounded to the 10 bits of fraction that a TF32
// has, ties away from zero.
class OperandRounding {
 public:
  explicit OperandRounding(DType operand) : to_tf32_(operand != DType::f32) {}
  float operator()(double x) const {
    const auto value = static_cast<float>(x);
    if (!to_tf32_ || !std::isfinite(value)) return value;
    return std::bit_cast<float>((std::bit_cast<std::uint32_t>(value) + 0x1000u) & 0xffffe000u);
  }

 private:
  bool to_tf32_;
};

// Calls run(segment, head, S) for each segment and each head of `args`, a Wkv6Args or Wkv7Args: S is the head's state [value][key],
// as it comes in and, after the call, as it goes out.
template <class Args, class Run>
void for_each_head(const Args& args, Run run) {
  check_segments(args.segment_count, args.segments, args.M);
  RR_CHECK(args.first_head >= 0 && args.heads >= 0 && args.first_head + args.heads <= args.H, "heads ", args.first_head,
           " + ", args.heads, " of ", args.H);
  const Index N = args.N;
  for (Index s = 0; s < args.segment_count; ++s) {
    for (Index h = 0; h < args.heads; ++h) {
      Matrix S(N, N);
      if (args.state_in[s] != nullptr) std::copy_n(args.state_in[s] + h * N * N, N * N, S.data.begin());
      run(args.segments[s], args.first_head + h, S);
      if (args.state_out[s] != nullptr) std::copy_n(S.data.begin(), N * N, args.state_out[s] + h * N * N);
    }
  }
}

}  // namespace riverrun::kernels::reference
