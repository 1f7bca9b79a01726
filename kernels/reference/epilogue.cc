#include "kernels/reference/epilogue.h"

#include <cmath>

#include "core/error.h"

namespace riverrun::kernels::reference {

namespace {

double apply(Epilogue epilogue, double product, double before) {
  switch (epilogue) {
    case Epilogue::none:
      return product;
    case Epilogue::add:
      return before + product;
    case Epilogue::tanh:
      return std::tanh(product);
    case Epilogue::sigmoid:
      return 1 / (1 + std::exp(-product));
    case Epilogue::relu_squared:
      return product < 0 ? 0 : product * product;  // lets a NaN through
    case Epilogue::silu:
      return product / (1 + std::exp(-product));
  }
  RR_CHECK(false, "epilogue ", static_cast<int>(epilogue));
}

}  // namespace

Index checked_stride(const MatmulArgs& args) {
  const Index cols = args.w->cols(), stride = args.x_stride == 0 ? cols : args.x_stride;
  RR_CHECK(args.y_type == DType::f32 || (args.y_type == args.w->type() && args.epilogue != Epilogue::add),
           "y of type ", name_of(args.y_type));
  RR_CHECK(stride >= cols, "rows of ", cols, " elements, ", stride, " apart");
  return stride;
}

void finish(const MatmulArgs& args, Index at, double product) {
  const double before = args.epilogue == Epilogue::add ? load_float(args.y, DType::f32, at) : 0.0f;
  store_float(args.y, args.y_type, at, static_cast<float>(apply(args.epilogue, product, before)));
}

}  // namespace riverrun::kernels::reference
