// Which instruction set the CPU backend uses, where it is not to be the machine's best, and what products it has then.
#pragma once

#include "core/types.h"

namespace riverrun::kernels::cpu {

// Obeys the environment variable RIVERRUN_CPU_TARGET: "avx2" keeps Highway and oneDNN from anything newer (AVX-512, VNNI, bf16 products) and
// "avx512" from what came after the first AVX-512 servers (VNNI, bf16 products, AMX), as if the machine had none; unset or empty is the best
// it has. To be called before either is used. InputError for another value, and where the machine does not have it.
void obey_cpu_target();

// What the machine multiplies in hardware, as far as the target above lets it.
bool has_bf16_pairs();                    // bf16, by AVX512-BF16
bool has_int8_quads(Index vector_bytes);  // int8, by AVX512-VNNI in vectors of 64 bytes, by AVX-VNNI in those of 32
bool has_tiles();                         // both, many times as fast, by AMX

}  // namespace riverrun::kernels::cpu
