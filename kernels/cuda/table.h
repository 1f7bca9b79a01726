// The CUDA backend: kernels for NVIDIA GPUs of compute capability 8.0 and later.
//
// What a GPU reads and writes (activations, weights, states, rows, ids, targets) must be memory that it
// reaches; lists of segments and of pointers are in the host's memory and are used when the call returns.
#pragma once

#include "kernels/table.h"

namespace riverrun::kernels::cuda {

// Of kernels that run on `device`, whose streams have a cudaStream_t as their order.
KernelTable table_on(Device& device);

// The slots of the table; contracts are in kernels/*.h.
std::unique_ptr<PackedMatrix> pack_matrix(const MatrixSource& source, DType operand, Stream stream);
void matmul(std::span<const MatmulArgs> products, Stream stream);
void layer_norm(const LayerNormArgs& args, Stream stream);
void embed(const EmbedArgs& args, Stream stream);
void shift_mix(const ShiftMixArgs& args, Stream stream);
void dynamic_mix(const DynamicMixArgs& args, Stream stream);
void gate(const GateArgs& args, Stream stream);
void gate_add(const GateAddArgs& args, Stream stream);
void token_matrix(const TokenMatrixArgs& args, Stream stream);
void wkv4(const Wkv4Args& args, Stream stream);
void wkv6_decay(const Wkv6DecayArgs& args, Stream stream);
void wkv6(const Wkv6Args& args, Stream stream);
void wkv6_readout(const Wkv6ReadoutArgs& args, Stream stream);
void wkv7_inputs(const Wkv7InputsArgs& args, Stream stream);
void wkv7(const Wkv7Args& args, Stream stream);
void wkv7_readout(const Wkv7ReadoutArgs& args, Stream stream);
void log_prob(const LogProbArgs& args, Stream stream);
void pick_largest(const PickLargestArgs& args, Stream stream);
void draw(const DrawArgs& args, Stream stream);
void sum_rows(const SumRowsArgs& args, Stream stream);

}  // namespace riverrun::kernels::cuda
