// Which instruction set the CPU backend uses, where it is not to be the machine's best.
#pragma once

namespace riverrun::kernels::cpu {

// Obeys the environment variable RIVERRUN_CPU_TARGET: "avx2" keeps Highway and oneDNN from anything newer (AVX-512, VNNI, bf16
// products), as if the machine had none; unset or empty is the best it has. To be called before either is used. InputError
// for another value, and where there is no AVX2.
void obey_cpu_target();

}  // namespace riverrun::kernels::cpu
