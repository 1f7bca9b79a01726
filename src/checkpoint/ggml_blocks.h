// ggml's block encodings: rows of weights as blocks of 32 or 256 elements, each a few bits and, per block,
// one or two fp16 numbers to scale and shift them.
//
// Source of the layouts: ggml (block_q4_0 ... block_q6_K). Values equal those of the gguf Python package's
// dequantize bit for bit.
#pragma once

#include "checkpoint/checkpoint.h"

namespace riverrun::checkpoint {

struct BlockLayout {
  Index elements, bytes;                             // of one block
  void (*decode)(const std::byte* from, float* to);  // one block
};

// Not for Encoding::plain.
const BlockLayout& block_layout(Encoding encoding);

// Bytes of the file that a tensor takes up from tensor.data on: up to the last element that its strides
// reach, or all its blocks.
Index bytes_in_file(const Tensor& tensor);

// Lets the tensor begin `elements` further into the file: for an encoded one, whole blocks.
void advance(Tensor& tensor, Index elements);

// The elements of an encoded tensor, row-major, as fp32; not scaled. Holds one decoded block beside `to`.
void decode_elements(const Tensor& tensor, float* to);

}  // namespace riverrun::checkpoint
