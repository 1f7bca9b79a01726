// What messages say to do.
#pragma once

#include "core/types.h"

namespace riverrun::jobs {

// About numbers that are not finite, in a model whose products have operands of that type.
inline const char* advice_on_numbers(DType precision) {
  return precision == DType::f32 ? "products were in fp32 already: see whether the weights are whole" : "try --precision fp32";
}

}  // namespace riverrun::jobs
