// The one instruction of AVX-VNNI that products use, on processors that do not have it.
#pragma once

#include <signal.h>

namespace riverrun::kernels {

// While there is one, `vpdpbusd` between registers of 32 bytes, in the encoding of AVX-VNNI, is done by a handler of SIGILL where the processor
// refuses it. Anything else that is illegal ends the program as before. For x86-64 on Linux; elsewhere, of no effect.
class AvxVnniByHand {
 public:
  AvxVnniByHand();
  ~AvxVnniByHand();
  AvxVnniByHand(const AvxVnniByHand&) = delete;
  AvxVnniByHand& operator=(const AvxVnniByHand&) = delete;

  static long done();  // instructions, so far

 private:
  struct sigaction before_ = {};
};

}  // namespace riverrun::kernels
