#include "avx_vnni.h"

#include <atomic>
#include <cstdint>
#include <cstring>

#include "core/error.h"

#if defined(__x86_64__)
#include <ucontext.h>
#endif

namespace riverrun::kernels {

namespace {

std::atomic<long> instructions = 0;

#if defined(__x86_64__)
// A saved register of 32 bytes: halves apart, as the standard form of XSAVE has them (Intel SDM, volume 1, 13.4).
class Register {
 public:
  Register(void* saved, int number) : low_(static_cast<std::byte*>(saved) + 160 + 16 * number), high_(static_cast<std::byte*>(saved) + 576 + 16 * number) {}
  template <class T>
  void read(T (&to)[32 / sizeof(T)]) const {
    std::memcpy(to, low_, 16);
    std::memcpy(reinterpret_cast<std::byte*>(to) + 16, high_, 16);
  }
  void write(const std::uint32_t (&from)[8]) const {
    std::memcpy(low_, from, 16);
    std::memcpy(high_, from + 4, 16);
  }

 private:
  std::byte *low_, *high_;
};

// VEX.256.66.0F38.W0 50 /r, all operands registers: sum is ModRM.reg, x is VEX.vvvv, w is ModRM.r/m.
bool is_product(const std::uint8_t* code) {
  return code[0] == 0xc4 && (code[1] & 0x1f) == 0x02 && (code[2] & 0x87) == 0x05 && code[3] == 0x50 && code[4] >= 0xc0;
}

void multiply(const std::uint8_t* code, void* saved) {
  const Register sum(saved, (code[4] >> 3 & 7) | ((code[1] & 0x80) != 0 ? 0 : 8)), x(saved, ~code[2] >> 3 & 15),
      w(saved, (code[4] & 7) | ((code[1] & 0x20) != 0 ? 0 : 8));
  std::uint32_t sums[8];
  std::uint8_t factors[32];
  std::int8_t weights[32];
  sum.read(sums), x.read(factors), w.read(weights);
  for (int i = 0; i < 32; ++i) sums[i / 4] += static_cast<std::uint32_t>(factors[i] * weights[i]);
  sum.write(sums);
}

void on_illegal(int, siginfo_t*, void* context) {
  auto& machine = static_cast<ucontext_t*>(context)->uc_mcontext;
  auto& at = machine.gregs[REG_RIP];
  const auto* const code = reinterpret_cast<const std::uint8_t*>(at);
  if (!is_product(code)) {
    signal(SIGILL, SIG_DFL);  // and once more
    return;
  }
  multiply(code, machine.fpregs);
  constexpr greg_t kBytes = 5;
  at += kBytes;
  ++instructions;
}
#endif

}  // namespace

AvxVnniByHand::AvxVnniByHand() {
#if defined(__x86_64__)
  struct sigaction action = {};
  action.sa_sigaction = on_illegal;
  action.sa_flags = SA_SIGINFO;
  RR_CHECK(sigaction(SIGILL, &action, &before_) == 0);
#endif
}

AvxVnniByHand::~AvxVnniByHand() {
#if defined(__x86_64__)
  sigaction(SIGILL, &before_, nullptr);
#endif
}

long AvxVnniByHand::done() { return instructions; }

}  // namespace riverrun::kernels
