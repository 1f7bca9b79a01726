#include "kernels/cpu/row_identity.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>
#include <tuple>

#include "core/buffer.h"
#include "core/error.h"
#include "core/log.h"

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

class Trial {
 public:
  explicit Trial(const CpuMatrix& w)
      : w_(w),
        x_(kPanelRows * w.cols() * size_of(w.type())),
        expected_(kPanelRows * w.rows()),
        y_(expected_.size()) {
    fill(x_.data(), w.type(), kPanelRows * w.cols());
    run(0, kPanelRows, w.rows(), expected_.data());
  }

  // Whether most results are not zero: products with zeros prove nothing about rounding.
  bool telling() const {
    const auto values = expected_.span();
    return 2 * std::count(values.begin(), values.end(), 0.0f) < expected_.size();
  }

  // Whether rows [first, first + rows), computed in slabs of `columns`, have the bits they had in the full
  // panel.
  bool same(Index first, Index rows, Index columns) {
    run(first, rows, columns, y_.data());
    const auto bytes = static_cast<std::size_t>(rows * w_.rows()) * sizeof(float);
    return std::memcmp(y_.data(), expected_.data() + first * w_.rows(), bytes) == 0;
  }

 private:
  void run(Index first, Index rows, Index columns, float* y) {
    const auto* x = x_.data() + first * w_.cols() * size_of(w_.type());
    for (Index column = 0; column < w_.rows(); column += columns) {
      run_panel(w_, {rows, column, std::min(columns, w_.rows() - column), x, w_.cols(), y, DType::f32,
                     Epilogue::none});
    }
  }

  const CpuMatrix& w_;
  Buffer x_;
  Array<float> expected_, y_;
};

// Matrices of more elements than this are tried in fewer shapes, to keep the start of a program short.
constexpr Index kLargeMatrix = 1 << 24;

bool same_in_all_shapes(const CpuMatrix& w, Trial& trial) {
  const bool large = w.rows() * w.cols() > kLargeMatrix;
  // Every height that run_panel uses, at places that no smaller block of rows divides evenly.
  constexpr std::pair<Index, Index> kPlaces[] = {{63, 1}, {17, 16}, {5, 2}, {13, 4},
                                                 {31, 8}, {7, 32},  {1, 48}};
  for (Index i = 0; i < (large ? 2 : 7); ++i) {
    if (!trial.same(kPlaces[i].first, kPlaces[i].second, w.rows())) return false;
  }
  if (!w.sliceable()) return true;
  for (const auto& [granules, rows] : {std::pair<Index, Index>{4, 16}, {1, 4}, {kMostGranules, kPanelRows}}) {
    const Index columns = granules * w.granule();
    if (columns < w.rows() && !trial.same(kPanelRows - rows, rows, columns)) return false;
    if (large) break;
  }
  return true;
}

bool same_in_fixed_panels(const CpuMatrix& w, Trial& trial) {
  for (Index first = 1; first < kPanelRows; first += 7) {
    if (!trial.same(first, kPanelRows - first, w.rows())) return false;
  }
  return true;
}

bool panels_must_be_fixed(const CpuMatrix& w, Trial& trial) {
  if (same_in_all_shapes(w, trial)) return false;
  log_warning("oneDNN rounds a row of a product with a ", w.rows(), " x ", w.cols(), " ", name_of(w.type()),
              " matrix by the shape it stands in; using panels of ", kPanelRows, " rows throughout (slower)");
  return true;
}

}  // namespace

void check_row_identity(CpuMatrix& w) {
  using Key = std::tuple<Index, Index, DType>;
  static std::mutex mutex;
  static std::map<Key, bool> verdicts;
  const Key key = {w.rows(), w.cols(), w.type()};
  std::lock_guard lock(mutex);
  if (const auto found = verdicts.find(key); found != verdicts.end()) {
    if (found->second) w.fix_panels();
    return;
  }
  Trial trial(w);
  const bool fix = panels_must_be_fixed(w, trial);
  if (fix) {
    w.fix_panels();
    RR_CHECK(same_in_fixed_panels(w, trial), "oneDNN gives a row of a ", w.rows(), " x ", w.cols(),
             " product other bits "
             "at other places of a panel; results would depend on the block size. Use --backend reference, "
             "or another oneDNN");
  }
  if (trial.telling()) verdicts[key] = fix;
}

}  // namespace riverrun::kernels::cpu
