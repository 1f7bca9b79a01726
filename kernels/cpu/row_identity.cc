#include "kernels/cpu/row_identity.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>
#include <mutex>
#include <tuple>
#include <vector>

#include "core/buffer.h"
#include "core/error.h"
#include "core/log.h"
#include "core/thread_pool.h"

namespace riverrun::kernels::cpu {

namespace {

// Any values do as long as sums of them round; a fixed congruential sequence in [-1, 1).
void fill(void* data, DType type, Index size) {
  std::uint32_t state = 1;
  for (Index i = 0; i < size; ++i) {
    state = state * 1664525u + 1013904223u;
    store_float(data, type, i, static_cast<float>(state >> 8) * 0x1p-23f - 1.0f);
  }
}

// Rows [first, first + rows) of a full panel, computed in slabs of `columns`.
struct Cut {
  Index first, rows, columns;
};

class Trial {
 public:
  explicit Trial(const DnnlMatrix& w) : w_(w), x_(kPanelRows * row_bytes()), expected_(kPanelRows * w.rows()) {
    fill(x_.data(), w.type(), kPanelRows * w.cols());
    run(x_, {0, kPanelRows, w.rows()}, expected_.data());
  }

  // Whether most results are not zero: products with zeros prove nothing about rounding.
  bool telling() const {
    const auto values = expected_.span();
    return 2 * std::count(values.begin(), values.end(), 0.0f) < expected_.size();
  }

  // Whether the rows have the bits they had in the full panel.
  bool same(const Cut& cut) const {
    const Array<float> y(cut.rows * w_.rows());
    run(x_, cut, y.data());
    const auto bytes = static_cast<std::size_t>(y.size()) * sizeof(float);
    return std::memcmp(y.data(), expected_.data() + cut.first * w_.rows(), bytes) == 0;
  }

  // Whether every row has them at another place of a full panel, too. 17 rows further down is in another
  // block, and elsewhere in its block, for blocks of 2, 4, 8 and 16 rows.
  bool same_at_other_places() const {
    constexpr Index kShift = 17;
    const Buffer x(x_.bytes());
    const Array<float> y(expected_.size());
    const auto place = [](Index m) { return (m + kShift) % kPanelRows; };
    const auto x_row = static_cast<std::size_t>(row_bytes()),
               y_row = static_cast<std::size_t>(w_.rows()) * sizeof(float);
    for (Index m = 0; m < kPanelRows; ++m) {
      std::memcpy(x.data() + place(m) * row_bytes(), x_.data() + m * row_bytes(), x_row);
    }
    run(x, {0, kPanelRows, w_.rows()}, y.data());
    for (Index m = 0; m < kPanelRows; ++m) {
      const float* row = y.data() + place(m) * w_.rows();
      if (std::memcmp(row, expected_.data() + m * w_.rows(), y_row) != 0) return false;
    }
    return true;
  }

 private:
  Index row_bytes() const { return w_.cols() * size_of(w_.type()); }

  void run(const Buffer& x, const Cut& cut, float* y) const {
    for (Index column = 0; column < w_.rows(); column += cut.columns) {
      run_panel(w_, {cut.rows, column, std::min(cut.columns, w_.rows() - column),
                     x.data() + cut.first * row_bytes(), w_.cols(), y, DType::f32, Epilogue::none});
    }
  }

  const DnnlMatrix& w_;
  Buffer x_;
  Array<float> expected_;
};

// Matrices of more elements than this are tried in fewer shapes, to keep the start of a program short.
constexpr Index kLargeMatrix = 1 << 24;

// Every height that run_panel uses, at places that no smaller block of rows divides evenly; and slabs.
std::vector<Cut> cuts_of(const DnnlMatrix& w) {
  const bool large = w.rows() * w.cols() > kLargeMatrix;
  const Index all = w.rows();
  std::vector<Cut> cuts = {{63, 1, all}, {17, 16, all}};
  if (!large) cuts.insert(cuts.end(), {{5, 2, all}, {13, 4, all}, {31, 8, all}, {7, 32, all}, {1, 48, all}});
  if (!w.sliceable()) return cuts;
  for (const auto& [granules, rows] : {std::pair<Index, Index>{4, 16}, {1, 4}, {kMostGranules, kPanelRows}}) {
    const Index columns = granules * w.granule();
    if (columns < all) cuts.push_back({kPanelRows - rows, rows, columns});
    if (large) break;
  }
  return cuts;
}

bool same_in_all_shapes(const DnnlMatrix& w, const Trial& trial, ThreadPool& pool) {
  const auto cuts = cuts_of(w);
  std::atomic<bool> same = true;
  pool.run(static_cast<Index>(cuts.size()), [&](Index i, int) {
    if (same && !trial.same(cuts[static_cast<std::size_t>(i)])) same = false;
  });
  return same;
}

// Whether oneDNN has been seen to break the contract with operands of that type. It then is taken to break it
// in every shape: one warning, and no time lost on finding each.
std::atomic<bool>& seen_to_differ(DType type) {
  static std::atomic<bool> kSeen[2];
  return kSeen[type == DType::f32 ? 0 : 1];
}

bool panels_must_be_fixed(const DnnlMatrix& w, const Trial& trial, ThreadPool& pool) {
  if (seen_to_differ(w.type())) return true;
  if (same_in_all_shapes(w, trial, pool)) return false;
  seen_to_differ(w.type()) = true;
  log_warning("oneDNN rounds a row of a ", name_of(w.type()),
              " product by the shape it stands in on this machine (seen first with a ", w.rows(), " x ",
              w.cols(), " matrix); products of this type are computed in panels of ", kPanelRows,
              " rows throughout (slower)");
  return true;
}

void check_row_identity(DnnlMatrix& w, ThreadPool& pool) {
  using Key = std::tuple<Index, Index, DType>;
  static std::mutex mutex;
  static std::map<Key, bool> verdicts;
  const Key key = {w.rows(), w.cols(), w.type()};
  std::lock_guard lock(mutex);
  if (const auto found = verdicts.find(key); found != verdicts.end()) {
    if (found->second) w.fix_panels();
    return;
  }
  const Trial trial(w);
  const bool fix = panels_must_be_fixed(w, trial, pool);
  if (fix) {
    w.fix_panels();
    RR_CHECK(trial.same_at_other_places(), "oneDNN gives a row of a ", w.rows(), " x ", w.cols(),
             " product other bits "
             "at other places of a panel; results would depend on the block size. Use --backend reference, "
             "or another oneDNN");
  }
  if (trial.telling()) verdicts[key] = fix;
}

}  // namespace

std::unique_ptr<DnnlMatrix> pack_for_onednn(const MatrixSource& source, DType operand, ThreadPool& pool) {
  auto packed = std::make_unique<DnnlMatrix>(source, operand, pool);
  check_row_identity(*packed, pool);
  return packed;
}

}  // namespace riverrun::kernels::cpu
