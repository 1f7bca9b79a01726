// Epilogues of kernels/matmul.h on vectors of products, once per instruction set.

// Included once per target: no plain include guard (see hwy/foreach_target.h).
#if defined(RIVERRUN_KERNELS_CPU_EPILOGUE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef RIVERRUN_KERNELS_CPU_EPILOGUE_INL_H_
#undef RIVERRUN_KERNELS_CPU_EPILOGUE_INL_H_
#else
#define RIVERRUN_KERNELS_CPU_EPILOGUE_INL_H_
#endif

#include "kernels/cpu/simd-inl.h"
#include "kernels/matmul.h"

HWY_BEFORE_NAMESPACE();
namespace riverrun::kernels::cpu::HWY_NAMESPACE {

template <class D, class V>
HWY_INLINE V tanh(D d, V x) {
  return hn::IfThenElse(hn::IsNaN(x), x, hn::Tanh(d, x));
}

// Calls body(function of a vector) for every epilogue but add.
template <class D, class Body>
HWY_INLINE void with_epilogue(D d, Epilogue epilogue, Body&& body) {
  switch (epilogue) {
    case Epilogue::tanh:
      return body([d](auto p) { return tanh(d, p); });
    case Epilogue::sigmoid:
      return body([d](auto p) { return sigmoid(d, p); });
    case Epilogue::silu:
      return body([d](auto p) { return hn::Mul(p, sigmoid(d, p)); });
    case Epilogue::relu_squared:
      return body([d](auto p) {
        const auto kept = hn::IfThenElse(hn::Lt(p, hn::Zero(d)), hn::Zero(d), p);
        return hn::Mul(kept, kept);
      });
    default:
      return body([](auto p) { return p; });
  }
}

}  // namespace riverrun::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per target
