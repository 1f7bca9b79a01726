#include "kernels/cpu/int8_rows.h"

#include <algorithm>
#include <bit>

#include "kernels/int8.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/int8_rows.cc"
#include <hwy/foreach_target.h>
// After foreach_target.h.
#include "kernels/cpu/epilogue-inl.h"

HWY_BEFORE_NAMESPACE();
namespace riverrun::kernels::cpu::HWY_NAMESPACE {

// The largest magnitude, found among the bits, where a NaN is above infinity and that above all numbers.
template <class D, class From>
HWY_INLINE float largest_magnitude(D d, const From* x, Index size) {
  const hn::RebindToSigned<D> di;
  auto most = hn::Zero(di);
  for (Index i = 0; i < size; i += hn::Lanes(d)) most = hn::Max(most, hn::BitCast(di, hn::Abs(load(d, x + i))));
  return std::bit_cast<float>(hn::GetLane(hn::MaxOfLanes(di, most)));
}

// q[i] = offset + round(x[i] * inverse), as u8 or s8.
template <class D, class From, class To>
HWY_INLINE void write_integers(D d, const From* x, Index size, float inverse, int offset, To* q) {
  if (inverse == 0) {  // x may be no numbers
    std::fill_n(q, size, static_cast<To>(offset));
    return;
  }
  const hn::Rebind<std::int32_t, D> di;
  const hn::Rebind<To, D> d8;
  const auto factor = hn::Set(d, inverse);
  const auto shift = hn::Set(di, offset);
  for (Index i = 0; i < size; i += hn::Lanes(d)) {
    const auto rounded = hn::NearestInt(hn::Mul(load(d, x + i), factor));
    hn::StoreU(hn::DemoteTo(d8, hn::Add(rounded, shift)), d8, q + i);
  }
}

void quantise_some_rows(const void* x, DType type, Index stride, Index rows, Index size, std::uint8_t* q, Index q_stride, float* scales) {
  with_lanes(size, [&](auto d) {
    with_operand_type(x, type, [&](const auto* from) {
      for (Index m = 0; m < rows; ++m) {
        const Int8Scale row = int8_scale(largest_magnitude(d, from + m * stride, size));
        write_integers(d, from + m * stride, size, row.inverse, kInt8Offset, q + m * q_stride);
        scales[m] = row.scale;
      }
    });
  });
}

float quantise_weight_row(const float* w, Index size, std::int8_t* q) {
  float scale = 0;
  with_lanes(size, [&](auto d) {
    const Int8Scale row = int8_scale(largest_magnitude(d, w, size));
    write_integers(d, w, size, row.inverse, 0, q);
    scale = row.scale;
  });
  return scale;
}

template <class D>
HWY_INLINE hn::Vec<D> product(D d, const Int8Tile& tile, hn::Vec<D> x_scale, Index row, Index column) {
  const hn::Rebind<std::int32_t, D> di;
  const auto sum = hn::Sub(hn::LoadU(di, tile.sums + row * tile.sums_stride + column), hn::LoadU(di, tile.offsets + column));
  return hn::Mul(hn::ConvertTo(d, sum), hn::Mul(x_scale, hn::LoadU(d, tile.w_scales + column)));
}

template <class D>
void add_tile(D d, const Int8Tile& tile) {
  for (Index m = 0; m < tile.rows; ++m) {
    float* y = static_cast<float*>(tile.y) + m * tile.y_stride;
    const auto x_scale = hn::Set(d, tile.x_scales[m]);
    for (Index n = 0; n < tile.columns; n += hn::Lanes(d)) {
      hn::StoreU(hn::Add(hn::LoadU(d, y + n), product(d, tile, x_scale, m, n)), d, y + n);
    }
  }
}

void finish(const Int8Tile& tile) {
  with_lanes(tile.columns, [&](auto d) {
    if (tile.epilogue == Epilogue::add) return add_tile(d, tile);
    with_operand_type(tile.y, tile.y_type, [&](auto* y) {
      with_epilogue(d, tile.epilogue, [&](auto apply) {
        for (Index m = 0; m < tile.rows; ++m) {
          const auto x_scale = hn::Set(d, tile.x_scales[m]);
          for (Index n = 0; n < tile.columns; n += hn::Lanes(d)) {
            store(d, apply(product(d, tile, x_scale, m, n)), y + m * tile.y_stride + n);
          }
        }
      });
    });
  });
}

}  // namespace riverrun::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace riverrun::kernels::cpu {

namespace {
HWY_EXPORT(quantise_some_rows);
HWY_EXPORT(quantise_weight_row);
HWY_EXPORT(finish);
}  // namespace

void quantise_rows(const void* x, DType type, Index stride, Index rows, Index size, std::uint8_t* q, Index q_stride, float* scales) {
  HWY_DYNAMIC_DISPATCH(quantise_some_rows)(x, type, stride, rows, size, q, q_stride, scales);
}

float quantise_weights(const float* w, Index size, std::int8_t* q, std::int32_t* offset) {
  const float scale = HWY_DYNAMIC_DISPATCH(quantise_weight_row)(w, size, q);
  // Unsigned: beyond 2^31 it wraps, and so does the sum it is taken from.
  std::uint32_t sum = 0;
  for (Index k = 0; k < size; ++k) sum += static_cast<std::uint32_t>(std::int32_t{q[k]});
  *offset = static_cast<std::int32_t>(sum * static_cast<std::uint32_t>(kInt8Offset));
  return scale;
}

void finish_tile(const Int8Tile& tile) { HWY_DYNAMIC_DISPATCH(finish)(tile); }

}  // namespace riverrun::kernels::cpu
#endif  // HWY_ONCE
