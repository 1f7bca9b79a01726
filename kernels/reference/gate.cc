#include "kernels/reference/table.h"

namespace riverrun::kernels::reference {

void gate(const GateArgs& args, Stream) {
  for (Index i = 0; i < args.M * args.D; ++i) {
    const double bias = args.bias == nullptr ? 0.0f : args.bias[i % args.D];
    store_float(args.out, args.out_type, i, static_cast<float>(args.a[i] * (args.b[i] + bias)));
  }
}

void gate_add(const GateAddArgs& args, Stream) {
  for (Index i = 0; i < args.M * args.D; ++i) args.x[i] = static_cast<float>(args.x[i] + double{args.a[i]} * args.b[i]);
}

void token_matrix(const TokenMatrixArgs& args, Stream) {
  const Index R = args.R;
  for (Index m = 0; m < args.M; ++m) {
    for (Index j = 0; j < R; ++j) {
      double sum = 0;
      for (Index i = 0; i < R; ++i) sum += double{args.q[m * R + i]} * args.E[(m * R + i) * R + j];
      store_float(args.out, args.out_type, m * R + j, static_cast<float>(sum));
    }
  }
}

}  // namespace riverrun::kernels::reference
