// What the machine can do at this moment, in the model's own shapes. A machine that others use, or whose clock drifts, is
// another one a second later: so a meter is set up once and read again beside every run that is held against it.
#pragma once

#include <memory>
#include <vector>

#include "core/buffer.h"
#include "jobs/bench/bench.h"

namespace riverrun::jobs {

// Products of `rows` rows with matrices of the model's own sizes, weighted as a layer has them; with few rows of fewer columns of y, so
// that their weights are in cache.
class ProductMeter {
 public:
  ProductMeter(const BenchModel& bench, Index rows);
  double flops_per_second();  // takes some tenths of a second, less for few rows

 private:
  struct Product {
    Index N, K, count;
    std::unique_ptr<kernels::PackedMatrix> matrix;
    Buffer x;
    Array<float> y;
  };
  const BenchModel& bench_;
  Index rows_;
  std::vector<Product> products_;
};

// Reading of memory beyond any cache by all threads together; on a GPU copying, which reads and writes.
class MemoryMeter {
 public:
  explicit MemoryMeter(const BenchModel& bench);
  double bytes_per_second();

 private:
  const BenchModel& bench_;
  Buffer memory_, copy_;  // the copy on a GPU only
};

}  // namespace riverrun::jobs
