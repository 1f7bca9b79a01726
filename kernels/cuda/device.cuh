// What kernels share: numbers of 16 bits, four columns at a time, sums over warps and blocks, shared memory.
//
// Sources are compiled with -fmad=false: a product and a sum are one operation only where fmaf says so, so
// that an element's bits do not depend on what the compiler made of the code around it.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

#include "core/error.h"
#include "core/types.h"
#if RIVERRUN_CUDA_EMULATED
#include <cuda_emulated.h>
#endif

namespace riverrun::kernels::cuda {

inline constexpr int kWarp = 32;
inline constexpr unsigned kAllLanes = 0xffffffffu;

__device__ __forceinline__ float bits_as_float(std::uint32_t bits) {
#if RIVERRUN_CUDA_EMULATED
  return cuda_emulator::as_float(bits);
#else
  return __uint_as_float(bits);
#endif
}

__device__ __forceinline__ std::uint32_t float_as_bits(float value) {
#if RIVERRUN_CUDA_EMULATED
  return cuda_emulator::as_bits(value);
#else
  return __float_as_uint(value);
#endif
}

// 1 / x, off by one unit in the last place at most. Not for subnormal numbers.
__device__ __forceinline__ float reciprocal(float x) {
#if RIVERRUN_CUDA_EMULATED
  return emulated_reciprocal(x);
#else
  float result;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
#endif
}

struct Bf16 {
  std::uint16_t bits;
};
struct F16 {
  std::uint16_t bits;
};

__device__ __forceinline__ float widen(float value) { return value; }
__device__ __forceinline__ float widen(Bf16 value) {
  return bits_as_float(static_cast<std::uint32_t>(value.bits) << 16);
}
__device__ __forceinline__ float widen(F16 value) {
#if RIVERRUN_CUDA_EMULATED
  return f16_to_float(value.bits);
#else
  float wide;
  asm("cvt.f32.f16 %0, %1;" : "=f"(wide) : "h"(value.bits));
  return wide;
#endif
}

// To nearest, ties to even; a NaN stays one.
template <class To>
__device__ __forceinline__ To narrow(float value) {
  if constexpr (std::is_same_v<To, float>) {
    return value;
  } else if constexpr (std::is_same_v<To, Bf16>) {
#if RIVERRUN_CUDA_EMULATED
    return {float_to_bf16(value)};
#else
    Bf16 narrowed;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(narrowed.bits) : "f"(value));
    return narrowed;
#endif
  } else {
#if RIVERRUN_CUDA_EMULATED
    return {float_to_f16(value)};
#else
    F16 narrowed;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(narrowed.bits) : "f"(value));
    return narrowed;
#endif
  }
}

template <class T>
struct alignas(4 * sizeof(T)) Four {
  T x, y, z, w;
};

// Columns [at, at + 4) of a row of D; those from D on are 0. kWhole: D is a multiple of 4 and the row aligned
// to four.
template <bool kWhole, class T>
__device__ __forceinline__ float4 load_four(const T* row, Index at, Index D) {
  if constexpr (kWhole) {
    const auto four = *reinterpret_cast<const Four<T>*>(row + at);
    return {widen(four.x), widen(four.y), widen(four.z), widen(four.w)};
  } else {
    return {at < D ? widen(row[at]) : 0.0f, at + 1 < D ? widen(row[at + 1]) : 0.0f,
            at + 2 < D ? widen(row[at + 2]) : 0.0f, at + 3 < D ? widen(row[at + 3]) : 0.0f};
  }
}

template <bool kWhole, class T>
__device__ __forceinline__ void store_four(T* row, Index at, Index D, float4 value) {
  if constexpr (kWhole) {
    *reinterpret_cast<Four<T>*>(row + at) = {narrow<T>(value.x), narrow<T>(value.y), narrow<T>(value.z),
                                             narrow<T>(value.w)};
  } else {
    if (at < D) row[at] = narrow<T>(value.x);
    if (at + 1 < D) row[at + 1] = narrow<T>(value.y);
    if (at + 2 < D) row[at + 2] = narrow<T>(value.z);
    if (at + 3 < D) row[at + 3] = narrow<T>(value.w);
  }
}

__device__ __forceinline__ float4 operator+(float4 a, float4 b) {
  return {a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w};
}
__device__ __forceinline__ float4 operator-(float4 a, float4 b) {
  return {a.x - b.x, a.y - b.y, a.z - b.z, a.w - b.w};
}
__device__ __forceinline__ float4 operator*(float4 a, float4 b) {
  return {a.x * b.x, a.y * b.y, a.z * b.z, a.w * b.w};
}
__device__ __forceinline__ float4 fma_four(float4 a, float4 b, float4 c) {
  return {fmaf(a.x, b.x, c.x), fmaf(a.y, b.y, c.y), fmaf(a.z, b.z, c.z), fmaf(a.w, b.w, c.w)};
}
__device__ __forceinline__ float4 all_four(float value) { return {value, value, value, value}; }
__device__ __forceinline__ float sum_of_four(float4 a) { return (a.x + a.y) + (a.z + a.w); }

__device__ __forceinline__ float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

// The sum over the warp, the same bits in every lane. kLanes: over each aligned group of so many lanes.
template <int kLanes = kWarp>
__device__ __forceinline__ float sum_over_lanes(float value) {
#pragma unroll
  for (int away = kLanes / 2; away > 0; away /= 2) value += __shfl_xor_sync(kAllLanes, value, away);
  return value;
}

// The largest over the warp.
__device__ __forceinline__ std::uint32_t largest_of_lanes(std::uint32_t value) {
#if RIVERRUN_CUDA_EMULATED
  for (int away = kWarp / 2; away > 0; away /= 2) value = std::max(value, __shfl_xor_sync(kAllLanes, value, away));
  return value;
#else
  return __reduce_max_sync(kAllLanes, value);
#endif
}

// What every kernel begins with. It may have been started while the one before it in the stream still runs (launch.h): what others
// write may be read, and what they read may be written, only behind this; and nothing of it may be marked as constant (__restrict__,
// __ldg), since the compiler may read that earlier. kNextStarts: the next kernel may be started from here on, as soon as all blocks of
// this one run; otherwise at the end.
template <bool kNextStarts = true>
__device__ __forceinline__ void wait_for_previous() {
#if RIVERRUN_CUDA_EMULATED
  cuda_emulator::wait_for_previous();
#elif __CUDA_ARCH__ >= 900
  if constexpr (kNextStarts) asm volatile("griddepcontrol.launch_dependents;");
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
// In a kernel that runs for long and leaves room on the GPU, for other streams: blocks that only wait would fill it.
__device__ __forceinline__ void wait_for_previous_alone() { wait_for_previous<false>(); }

// Starts to bring global memory into the L2 cache, on GPUs from 9.0 on: whole 16 bytes, aligned to them.
__device__ __forceinline__ void fetch_into_l2([[maybe_unused]] const void* from, [[maybe_unused]] unsigned bytes) {
#if RIVERRUN_CUDA_EMULATED
  cuda_emulator::fetch_into_l2(from, bytes);
#elif __CUDA_ARCH__ >= 900
  asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(__cvta_generic_to_global(from)), "r"(bytes) : "memory");
#endif
}

// Before wait_for_previous(), the same for vectors of a model, which no kernel writes: by the first block, for all. Null pointers are none.
template <class... Vectors>
__device__ __forceinline__ void fetch_vectors(Index size, const Vectors*... vectors) {
  if (blockIdx.x != 0 || blockIdx.y != 0 || size % 4 != 0) return;
  const unsigned warps = blockDim.x / kWarp;
  unsigned turn = 0;
  const auto fetch = [&](const float* vector) {
    const bool whole = vector != nullptr && reinterpret_cast<std::uintptr_t>(vector) % 16 == 0;
    if (threadIdx.x == turn++ % warps * kWarp && whole) fetch_into_l2(vector, static_cast<unsigned>(size) * unsigned{sizeof(float)});
  };
  (fetch(vectors), ...);
}

// The kernel's one object in shared memory of fixed size, and the memory whose size the launch gives.
template <class T>
__device__ __forceinline__ T& block_shared() {
#if RIVERRUN_CUDA_EMULATED
  return *static_cast<T*>(cuda_emulator::static_shared(sizeof(T)));
#else
  __shared__ alignas(16) unsigned char bytes[sizeof(T)];
  return *reinterpret_cast<T*>(bytes);
#endif
}
template <class T>
__device__ __forceinline__ T* launch_shared() {
#if RIVERRUN_CUDA_EMULATED
  return static_cast<T*>(cuda_emulator::dynamic_shared());
#else
  extern __shared__ uint4 riverrun_launch_shared[];
  return reinterpret_cast<T*>(riverrun_launch_shared);
#endif
}

// Shared memory of sum_over_block.
struct BlockSum {
  float of_warp[32];
};

// The sum over the block, the same bits in every thread: warp by warp in order.
__device__ __forceinline__ float sum_over_block(float value, BlockSum& sums) {
  value = sum_over_lanes(value);
  if (threadIdx.x % kWarp == 0) sums.of_warp[threadIdx.x / kWarp] = value;
  __syncthreads();
  value = 0;
  for (unsigned warp = 0; warp < blockDim.x / kWarp; ++warp) value += sums.of_warp[warp];
  __syncthreads();
  return value;
}

// Host side: the threads of a block that takes a row of D columns four at a time, at most 256. By D alone,
// since sums are taken thread by thread.
inline unsigned threads_for(Index D) {
  const Index threads = (D + 4 * kWarp - 1) / (4 * kWarp) * kWarp;
  return static_cast<unsigned>(threads < kWarp ? kWarp : threads > 256 ? 256 : threads);
}

// Whether rows of D columns can be read and written four columns at a time; null pointers count as if they
// could.
template <class... Pointers>
bool whole_fours(Index D, Pointers*... pointers) {
  return D % 4 == 0 && (... && (reinterpret_cast<std::uintptr_t>(pointers) % 16 == 0));
}

// f(std::true_type) or f(std::false_type)
template <class Function>
void with_flag(bool flag, Function&& f) {
  if (flag) {
    f(std::true_type());
  } else {
    f(std::false_type());
  }
}

// f(data as float*, Bf16* or F16*)
template <class Void, class Function>
void with_type(Void* data, DType type, Function&& f) {
  const auto as = [data](auto* typed) {
    using T = std::remove_pointer_t<decltype(typed)>;
    return static_cast<std::conditional_t<std::is_const_v<Void>, const T, T>*>(data);
  };
  if (type == DType::f32) return f(as(static_cast<float*>(nullptr)));
  if (type == DType::bf16) return f(as(static_cast<Bf16*>(nullptr)));
  RR_CHECK(type == DType::f16, "elements of type ", name_of(type));
  f(as(static_cast<F16*>(nullptr)));
}

}  // namespace riverrun::kernels::cuda
