// WKV-6 in chunks of 16 tokens on the tensor cores: prefill.
#pragma once

#include "core/stream.h"
#include "kernels/cuda/segments.h"
#include "kernels/wkv6.h"

namespace riverrun::kernels::cuda {

inline constexpr Index kWkv6Chunk = 16, kWkv6Group = 256;

// Whether there is a chunked kernel for heads of N channels.
constexpr bool has_wkv6_chunks(Index N) { return N == 32 || N == 64; }

// The segments of one table. Chunks and groups of kWkv6Group tokens start at a segment's first row, so that a cut at a multiple of
// kWkv6Group changes no bit, nor in a segment of fewer a cut at a multiple of kWkv6Chunk. r, w, k, v, y and states are 16-byte
// aligned.
void wkv6_chunks(const Wkv6Args& args, const SegmentTable& segments, Stream stream);

}  // namespace riverrun::kernels::cuda
