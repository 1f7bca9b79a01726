// Segments as kernels get them: by value, with the launch. No copy to the device is needed, and a graph that
// captures the launch keeps them. A call of more segments than a launch holds becomes several launches.
#pragma once

#include <algorithm>

#include "kernels/segment.h"

namespace riverrun::kernels::cuda {

inline constexpr int kMostSegments = 96;  // 3 KB; a kernel's parameters may take 4 KB

struct SegmentTable {
  struct Entry {
    Index begin, end;
    const float* in;  // what comes in before its first row, or null
    float* out;       // receives what goes on after its last row, or null

    constexpr Index rows() const { return end - begin; }
  };
  int count = 0;
  Entry entries[kMostSegments];

  Index most_rows() const {
    Index most = 0;
    for (int s = 0; s < count; ++s) most = std::max(most, entries[s].rows());
    return most;
  }
};

// Calls f(table) for one group after the other of the segments for which wanted(rows) is true.
template <class Wanted, class Function>
void for_segment_groups(Index count, const Segment* segments, const float* const* in, float* const* out,
                        Wanted&& wanted, Function&& f) {
  SegmentTable table;
  for (Index s = 0; s < count; ++s) {
    if (!wanted(segments[s].end - segments[s].begin)) continue;
    table.entries[table.count++] = {segments[s].begin, segments[s].end, in[s], out[s]};
    if (table.count == kMostSegments) f(table), table.count = 0;
  }
  if (table.count > 0) f(table);
}

// Of all segments.
template <class Function>
void for_segment_groups(Index count, const Segment* segments, const float* const* in, float* const* out,
                        Function&& f) {
  for_segment_groups(
      count, segments, in, out, [](Index) { return true; }, f);
}

}  // namespace riverrun::kernels::cuda
