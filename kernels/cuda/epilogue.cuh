// What is done to an element of a product before it is stored.
#pragma once

#include "kernels/cuda/device.cuh"
#include "kernels/matmul.h"

namespace riverrun::kernels::cuda {

// Element `at` of y, of type f32, bf16 or f16.
__device__ __forceinline__ void finish(Epilogue epilogue, void* y, DType y_type, Index at, float product) {
  switch (epilogue) {
    case Epilogue::none:
      break;
    case Epilogue::add:
      product += static_cast<const float*>(y)[at];
      break;
    case Epilogue::tanh:
      product = tanhf(product);
      break;
    case Epilogue::sigmoid:
      product = sigmoid(product);
      break;
    case Epilogue::relu_squared:
      product = product < 0 ? 0 : product * product;
      break;  // lets a NaN through
    case Epilogue::silu:
      product = product / (1.0f + expf(-product));
      break;
  }
  switch (y_type) {
    case DType::bf16:
      static_cast<Bf16*>(y)[at] = narrow<Bf16>(product);
      break;
    case DType::f16:
      static_cast<F16*>(y)[at] = narrow<F16>(product);
      break;
    default:
      static_cast<float*>(y)[at] = product;
  }
}

}  // namespace riverrun::kernels::cuda
