// WKV-7 in chunks of 16 tokens on the tensor cores: prefill.
#pragma once

#include "core/stream.h"
#include "kernels/cuda/segments.h"
#include "kernels/wkv7.h"

namespace riverrun::kernels::cuda {

inline constexpr Index kWkv7Chunk = 16;

// Whether there is a chunked kernel for heads of N channels.
constexpr bool has_wkv7_chunks(Index N) { return N == 32 || N == 64; }

// The segments of one table. Chunks start at a segment's first row, so that a cut at a multiple of kWkv7Chunk
// changes no bit. r, w, k, v, a, b and states are 16-byte aligned. Products are nearly as exact as in fp32, or, for models whose operands
// have 16 bits, of numbers in fp16.
void wkv7_chunks_f32(const Wkv7Args& args, const SegmentTable& segments, Stream stream);
void wkv7_chunks_16(const Wkv7Args& args, const SegmentTable& segments, Stream stream);

// The same as wkv7_chunks_16(), to the bit, by two multiprocessors to a head: whether the GPU has clusters and so many to spare, for
// all segments' heads together.
bool has_wkv7_clusters(Index N, Index heads);
void wkv7_clusters_16(const Wkv7Args& args, const SegmentTable& segments, Stream stream);

}  // namespace riverrun::kernels::cuda
