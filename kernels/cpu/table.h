// The CPU backend, by Google Highway; oneDNN multiplies matrices where there is AMX. The best instruction set of the machine is picked at run
// time.
#pragma once

#include "kernels/table.h"

namespace riverrun::kernels::cpu {

const KernelTable& table();

// The slots of the table; contracts are in kernels/*.h.
bool multiplies(DType operand);
bool multiplies_fast(DType operand);
std::unique_ptr<PackedMatrix> pack_matrix(const MatrixSource& source, DType operand, Stream stream);
std::unique_ptr<PackedMatrix> pack_int8(const MatrixSource& source, DType operand, Stream stream);
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

}  // namespace riverrun::kernels::cpu
