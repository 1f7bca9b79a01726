// What the kernel tests share: the backends under test, random numbers, and outputs that notice what is not
// written.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "core/buffer.h"
#include "core/thread_pool.h"
#include "kernels/table.h"

namespace riverrun::kernels {

inline constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
inline constexpr double kRoundoff = 0x1p-24;  // of fp32: half the distance from 1 to the next number

// A backend, for the CPU with one of the instruction sets it is compiled for; "cuda_emulated": the CUDA
// kernels, run by tests/support/cuda_emulator; mirrored: a backend that runs on a device's own memory (mirrored.h).
struct Variant {
  const char* name;
  const char* backend;
  enum class Target { any, avx2, portable, emulated, mirrored } target;
};
void PrintTo(const Variant& variant, std::ostream* out);

// Of this build and machine, the reference first; with RIVERRUN_TEST_MIRRORED=cuda or cuda_emulated in the environment that
// backend alone, mirrored.
std::vector<Variant> all_variants();
std::vector<Variant> fast_variants();  // without the reference

// The CUDA kernels. Emulated they take their time: tests of many shapes leave some of them out.
inline bool of_cuda(const Variant& variant) {
  return variant.target == Variant::Target::emulated || variant.target == Variant::Target::mirrored;
}
// Not on the emulator: products in prefill are cuBLAS's.
inline bool on_gpu(const Variant& variant) { return std::string(variant.backend) == "cuda"; }

// The types a model's operands may have that make a difference to a recurrence: chunks on tensor cores form products accordingly.
inline std::vector<DType> operands_of(const Variant& variant) {
  return of_cuda(variant) ? std::vector<DType>{DType::f32, DType::bf16} : std::vector<DType>{DType::f32};
}

// Where 40 tokens of a recurrence may be cut. CUDA's chunks of 16 are counted from a segment's first row, and what is
// shorter is computed token by token: it wants whole chunks in front of a cut and one or more behind.
inline std::vector<Index> cuts_of_40(const Variant& variant) {
  return of_cuda(variant) ? std::vector<Index>{0, 16, 40} : std::vector<Index>{0, 1, 15, 16, 17, 39, 40};
}

// Selects the variant's instruction set for this process and returns its table.
const KernelTable& select(const Variant& variant);
inline const KernelTable& oracle() { return find_backend("reference"); }

inline std::string name_of_test(const testing::TestParamInfo<Variant>& info) { return info.param.name; }

// One product by itself.
inline void multiply(const KernelTable& table, const MatmulArgs& args, Stream stream) { table.matmul({&args, 1}, stream); }

// A pool and the stream over it.
struct Threads {
  explicit Threads(int count) : pool(count) {}
  operator Stream() { return host_stream(pool); }
  ThreadPool pool;
};

class Random {
 public:
  explicit Random(unsigned seed) : engine_(seed) {}
  float normal(float deviation = 1.0f) { return std::normal_distribution<float>(0.0f, deviation)(engine_); }
  float uniform(float low, float high) { return std::uniform_real_distribution<float>(low, high)(engine_); }
  Index below(Index end) { return std::uniform_int_distribution<Index>(0, end - 1)(engine_); }
  std::vector<float> normals(Index size, float deviation = 1.0f) {
    std::vector<float> values(size);
    for (auto& value : values) value = normal(deviation);
    return values;
  }

 private:
  std::mt19937 engine_;
};

// `size` elements of a floating-point type, all NaN, between two guards. The destructor of a test's output
// fails the test when a guard was overwritten.
class Output {
 public:
  Output(Index size, DType type) : size_(size), type_(type), data_((size + 2 * kGuard) * size_of(type)) {
    std::memset(data_.data(), 0xff, static_cast<std::size_t>(data_.bytes()));  // a NaN in every type
  }
  Output(const std::vector<float>& values, DType type) : Output(static_cast<Index>(values.size()), type) {
    for (Index i = 0; i < size_; ++i) store_float(data(), type_, i, values[i]);
  }
  ~Output() {
    const auto edge = static_cast<std::size_t>(kGuard * size_of(type_));
    EXPECT_TRUE(untouched(data_.data(), edge)) << "written before the first element";
    EXPECT_TRUE(untouched(data_.data() + data_.bytes() - edge, edge)) << "written behind the last element";
  }
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  void* data() { return data_.data() + kGuard * size_of(type_); }
  float* f32() { return static_cast<float*>(data()); }
  Index size() const { return size_; }
  float operator[](Index at) const { return load_float(data_.data(), type_, kGuard + at); }
  std::vector<float> values() const {
    std::vector<float> all(size_);
    for (Index i = 0; i < size_; ++i) all[i] = (*this)[i];
    return all;
  }

 private:
  static constexpr Index kGuard = 64;
  static bool untouched(const std::byte* at, std::size_t bytes) {
    for (std::size_t i = 0; i < bytes; ++i) {
      if (at[i] != std::byte{0xff}) return false;
    }
    return true;
  }
  Index size_;
  DType type_;
  Buffer data_;
};

// Equal bits, so that NaN equals itself and 0 differs from -0.
inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

// Half the distance between neighbours: how far a value of the type is from the fp32 value it was rounded
// from, relative to it.
inline double rounding_of(DType type) {
  return type == DType::bf16 ? 0x1p-8 : type == DType::f16 ? 0x1p-11 : 0.0;
}

// |got - expected| <= absolute + relative * |expected|, element by element.
void expect_near(const std::vector<float>& got, const std::vector<float>& expected, double absolute,
                 double relative, const std::string& what);

}  // namespace riverrun::kernels
