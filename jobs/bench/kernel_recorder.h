// KernelRecorder: a table of kernels that runs those of another table and keeps how long every call took.
//
// A model loaded with it is timed where it stands: each operation in the shapes it is called with, on data that the
// operation before has just left in some cache.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels/table.h"

namespace riverrun::jobs {

// What a call has to do, whatever the kernel: arithmetic as its formula is written, and bytes.
struct KernelWork {
  double flops = 0;
  double read = 0, written = 0;  // activations, once each
  double weights = 0;            // a packed matrix, which a block of tokens reads once
};

struct KernelCalls {
  std::string operation;  // the table's name for it
  std::string shape;      // of the operands, rows first
  KernelWork work;        // of one call
  Index calls = 0;
  double best = 0;        // seconds of the fastest call
};

// For backends whose calls return when the work is done. There can be one at a time: a kernel is a plain function, so what
// it records into is global.
class KernelRecorder {
 public:
  explicit KernelRecorder(const kernels::KernelTable& real);
  ~KernelRecorder();
  KernelRecorder(const KernelRecorder&) = delete;
  KernelRecorder& operator=(const KernelRecorder&) = delete;

  const kernels::KernelTable& table() const { return table_; }

  // What was called since the last take(), by operation and shape, in the order of the first calls.
  std::vector<KernelCalls> take();

 private:
  kernels::KernelTable table_;
};

}  // namespace riverrun::jobs
