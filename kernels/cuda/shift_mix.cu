#include <algorithm>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/normalize.cuh"
#include "kernels/cuda/segments.h"
#include "kernels/cuda/table.h"

namespace riverrun::kernels::cuda {

namespace {

constexpr int kMostMixes = 8;

// Rows that a block goes through one after the other, so that only its first row needs the one before it once
// more. Fewer rows than fill a GPU are taken one by one. What a row's bits are does not depend on it.
constexpr Index kRowsOfBlock = 8, kManyRows = 2048;

struct MixParameters {
  Index D, rows_of_block;
  const float *x, *weight, *bias;
  float eps;
  Index mixes;
  const float* mu[kMostMixes];
  void* out[kMostMixes];
  float *normal, *change;
  bool write_last;  // every segment is one row: its block has read what came in when it writes what goes on
};

// The segment that holds row t. Those of a table are ascending; empty ones hold no row.
__device__ __forceinline__ const SegmentTable::Entry& segment_of(const SegmentTable& table, Index t) {
  int low = 0, high = table.count - 1;  // the first whose end is behind t
  while (low < high) {
    const int middle = (low + high) / 2;
    if (table.entries[middle].end > t) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return table.entries[low];
}

template <bool kWhole>
__device__ __forceinline__ void load_incoming(const SegmentTable::Entry& segment, Index D, float* row) {
  own_fours(D, [&](Index at) {
    four_at(row, at) = segment.in == nullptr ? all_four(0) : load_four<kWhole>(segment.in, at, D);
  });
}

template <bool kWhole>
__device__ __forceinline__ void normal_row(const MixParameters& args, Index t, float* row, BlockSum& sums) {
  load_row<kWhole>(args.x + t * args.D, args.D, row);
  normalize<kWhole>(row, args.D, args.weight, args.bias, args.eps, sums);
}

template <bool kWhole, class To>
__global__ void shift_mix_kernel(const __grid_constant__ MixParameters args,
                                 const __grid_constant__ SegmentTable segments) {
  fetch_vectors(args.D, args.weight, args.bias);
  for (Index q = 0; q < args.mixes; ++q) fetch_vectors(args.D, args.mu[q]);
  wait_for_previous();
  BlockSum& sums = block_shared<BlockSum>();
  const Index D = args.D, end_of_all = segments.entries[segments.count - 1].end;
  float *now = launch_shared<float>(), *before = now + padded_width(D);
  const Index first = segments.entries[0].begin + blockIdx.x * args.rows_of_block;
  const Index end = first + args.rows_of_block < end_of_all ? first + args.rows_of_block : end_of_all;
  for (Index t = first; t < end; ++t) {
    const SegmentTable::Entry& segment = segment_of(segments, t);
    if (t == segment.begin) {
      load_incoming<kWhole>(segment, D, before);
    } else if (t == first) {
      normal_row<kWhole>(args, t - 1, before, sums);
    }
    normal_row<kWhole>(args, t, now, sums);
    own_fours(D, [&](Index at) {
      const float4 n = four_at(now, at), change = four_at(before, at) - n;
      float4 mu[kMostMixes];  // all are asked for before the first is waited for
#pragma unroll
      for (int q = 0; q < kMostMixes; ++q) {
        if (q < args.mixes) mu[q] = load_four<kWhole>(args.mu[q], at, D);
      }
#pragma unroll
      for (int q = 0; q < kMostMixes; ++q) {
        if (q < args.mixes) store_four<kWhole>(static_cast<To*>(args.out[q]) + t * D, at, D, fma_four(change, mu[q], n));
      }
      if (args.normal != nullptr) store_four<kWhole>(args.normal + t * D, at, D, n);
      if (args.change != nullptr) store_four<kWhole>(args.change + t * D, at, D, change);
      if (args.write_last && segment.out != nullptr) store_four<kWhole>(segment.out, at, D, n);
    });
    float* free = before;
    before = now, now = free;
  }
}

// A block takes a segment: what its last row hands on, after all have read what was handed to them.
template <bool kWhole>
__global__ void last_rows_kernel(const __grid_constant__ MixParameters args,
                                 const __grid_constant__ SegmentTable segments) {
  wait_for_previous();
  BlockSum& sums = block_shared<BlockSum>();
  float* row = launch_shared<float>();
  const SegmentTable::Entry& segment = segments.entries[blockIdx.x];
  if (segment.out == nullptr) return;
  if (segment.begin == segment.end) {
    load_incoming<kWhole>(segment, args.D, row);
  } else {
    normal_row<kWhole>(args, segment.end - 1, row, sums);
  }
  own_fours(args.D, [&](Index at) { store_four<kWhole>(segment.out, at, args.D, four_at(row, at)); });
}

MixParameters parameters_of(const ShiftMixArgs& args) {
  RR_CHECK(args.mixes <= kMostMixes, args.mixes, " mixes at once");
  MixParameters parameters = {.D = args.D,
                              .rows_of_block = args.M >= kManyRows ? kRowsOfBlock : 1,
                              .x = args.x,
                              .weight = args.weight,
                              .bias = args.bias,
                              .eps = args.eps,
                              .mixes = args.mixes,
                              .normal = args.normal,
                              .change = args.change};
  std::copy_n(args.mu, args.mixes, parameters.mu);
  std::copy_n(args.out, args.mixes, parameters.out);
  return parameters;
}

bool reads_fours(const ShiftMixArgs& args) {
  bool whole = whole_fours(args.D, args.x, args.weight, args.bias, args.normal, args.change);
  for (Index q = 0; q < args.mixes; ++q) whole = whole && whole_fours(args.D, args.mu[q], args.out[q]);
  for (Index s = 0; s < args.segment_count; ++s) {
    whole = whole && whole_fours(args.D, args.rows_in[s], args.rows_out[s]);
  }
  return whole;
}

template <bool kWhole, class To>
void launch_group(MixParameters parameters, const SegmentTable& segments, Stream stream) {
  const auto* const entries = segments.entries;
  const Index rows = entries[segments.count - 1].end - entries[0].begin,
              bytes = 2 * padded_width(parameters.D) * Index{sizeof(float)};
  parameters.write_last = std::all_of(entries, entries + segments.count,
                                      [](const auto& entry) { return entry.rows() == 1; });
  const unsigned threads = threads_for(parameters.D);
  launch(shift_mix_kernel<kWhole, To>, dim3(blocks_for(rows, parameters.rows_of_block)), threads, bytes,
         stream, parameters, segments);
  if (parameters.write_last) return;
  launch(last_rows_kernel<kWhole>, dim3(static_cast<unsigned>(segments.count)), threads, bytes / 2, stream,
         parameters, segments);
}

}  // namespace

void shift_mix(const ShiftMixArgs& args, Stream stream) {
  check_segments(args.segment_count, args.segments, args.M);
  const MixParameters parameters = parameters_of(args);
  with_type(static_cast<void*>(nullptr), args.out_type, [&]<class To>(To*) {
    with_flag(reads_fours(args), [&](auto whole) {
      for_segment_groups(
          args.segment_count, args.segments, args.rows_in, args.rows_out,
          [&](const SegmentTable& group) { launch_group<whole.value, To>(parameters, group, stream); });
    });
  });
}

}  // namespace riverrun::kernels::cuda
