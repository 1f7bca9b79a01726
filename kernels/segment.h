// Segment: the rows of a block's activations that belong to one document.
#pragma once

#include "core/error.h"
#include "core/types.h"

namespace riverrun::kernels {

// Rows [begin, end) of a block, in token order. The segments of a block are disjoint, ascending and cover it;
// an empty one is allowed and leaves its state as it came.
struct Segment {
  Index begin, end;
};

inline void check_segments(Index count, const Segment* segments, Index M) {
  Index at = 0;
  for (Index s = 0; s < count; ++s) {
    RR_CHECK(segments[s].begin == at && segments[s].end >= at, "segment ", s, " holds rows ",
             segments[s].begin, " to ", segments[s].end, ", but must start at ", at);
    at = segments[s].end;
  }
  RR_CHECK(at == M, "segments cover ", at, " of ", M, " rows");
}

}  // namespace riverrun::kernels
