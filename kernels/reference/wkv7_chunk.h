// WKV-7 in chunks of a few tokens: matrix products instead of a token-by-token recurrence.
//
// The model of kernels/cuda/wkv7_chunk_f32.cu and wkv7_chunk_16.cu on the CPU, stage by stage; no table holds it (docs/wkv.md).
#pragma once

#include "core/stream.h"
#include "kernels/wkv7.h"

namespace riverrun::kernels::reference {

inline constexpr Index kChunk = 16;

// The contract of kernels::Wkv7, with results that differ from the recurrence by rounding: of an operand f32 as little as
// fp32 does, of bf16 and f16 with the operands of every product rounded to 10 bits of fraction. Chunks start at a segment's first row, so a cut
// at a multiple of kChunk changes no bit, and another cut changes rounding only.
void wkv7_chunk(const Wkv7Args& args, Stream stream);

}  // namespace riverrun::kernels::reference
