// WKV-6 in chunks of a few tokens: matrix products instead of a token-by-token recurrence.
//
// The model of kernels/cuda/wkv6_chunk.cu on the CPU; no table holds it (docs/wkv.md).
#pragma once

#include "core/stream.h"
#include "kernels/wkv6.h"

namespace riverrun::kernels::reference {

inline constexpr Index kWkv6Chunk = 16, kWkv6Group = 256;

// The contract of kernels::Wkv6, with results that differ from the recurrence by rounding, for any decay
// factors including 0; of bf16 and f16 operands with the operands of every product rounded to TF32. Chunks and groups of
// kWkv6Group tokens start at a segment's first row, so a cut at a multiple of kWkv6Group changes no bit, nor in a segment of fewer a cut
// at a multiple of kWkv6Chunk; another cut changes rounding only.
void wkv6_chunk(const Wkv6Args& args, Stream stream);

}  // namespace riverrun::kernels::reference
