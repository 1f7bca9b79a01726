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
  };
  int count = 0;
  Entry entries[kMostSegments];
};

// Calls f(table) for one group of segments after the other.
template <class Function>
void for_segment_groups(Index count, const Segment* segments, const float* const* in, float* const* out,
                        Function&& f) {
  for (Index first = 0; first < count; first += kMostSegments) {
    SegmentTable table;
    table.count = static_cast<int>(std::min<Index>(kMostSegments, count - first));
    for (int i = 0; i < table.count; ++i) {
      const Index s = first + i;
      table.entries[i] = {segments[s].begin, segments[s].end, in[s], out[s]};
    }
    f(table);
  }
}

}  // namespace riverrun::kernels::cuda
