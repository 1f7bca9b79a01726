#include "rehearsal.h"

#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstring>
#include <mutex>
#include <set>

namespace riverrun::cuda_emulator {

namespace {

struct HasWaited {};

// Addresses with this bit are nobody's.
constexpr std::uintptr_t kNowhere = std::uintptr_t{1} << 62;

thread_local bool rehearses = false;

// Small numbers are none, though a program that is not position-independent may lie there.
bool is_memory(std::uintptr_t word) {
  static const auto kPage = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  unsigned char resident;
  return word >> 32 != 0 && word < kNowhere && mincore(reinterpret_cast<void*>(word / kPage * kPage), 1, &resident) == 0;
}

void spoil(void* args, std::size_t bytes) {
  for (std::size_t at = 0; at + sizeof(std::uintptr_t) <= bytes; at += sizeof(std::uintptr_t)) {
    std::uintptr_t word;
    std::memcpy(&word, static_cast<char*>(args) + at, sizeof word);
    if (is_memory(word)) word |= kNowhere;
    std::memcpy(static_cast<char*>(args) + at, &word, sizeof word);
  }
}

extern "C" void touched_too_early(int) {
  constexpr char kMessage[] = "cuda emulator: a kernel touches memory before it waits for the kernel before\n";
  (void)!write(STDERR_FILENO, kMessage, sizeof kMessage - 1);
  _exit(1);
}

// While it lives, whoever touches memory that is nowhere ends the program with a message.
class Watch {
 public:
  Watch() {
    struct sigaction action = {};
    action.sa_handler = touched_too_early;
    for (std::size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &action, &before_[i]);
    rehearses = true;
  }
  ~Watch() {
    rehearses = false;
    for (std::size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &before_[i], nullptr);
  }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

 private:
  static constexpr std::array kSignals = {SIGSEGV, SIGBUS};
  struct sigaction before_[kSignals.size()];
};

}  // namespace

bool rehearsing() { return rehearses; }
void leave_rehearsal() { throw HasWaited(); }

const void* unspoilt(const void* pointer) {
  return rehearses ? reinterpret_cast<const void*>(reinterpret_cast<std::uintptr_t>(pointer) & ~kNowhere) : pointer;
}

bool wants_rehearsal(const void* kernel, dim3 grid, dim3 block) {
  thread_local std::set<std::array<std::uintptr_t, 5>> known;
  return known.insert({reinterpret_cast<std::uintptr_t>(kernel), grid.x, grid.y, grid.z, block.x}).second;
}

void rehearse(dim3 grid, dim3 block, void (*body)(const void*), const void* job, void* args, std::size_t args_bytes) {
  static std::mutex one_at_a_time;  // signals are the process's
  const std::scoped_lock lock(one_at_a_time);
  spoil(args, args_bytes);
  gridDim = grid, blockDim = block;
  const Watch watch;
  for (const uint3 at : {uint3{0, 0, 0}, uint3{grid.x - 1, grid.y - 1, grid.z - 1}}) {
    blockIdx = at;
    for (unsigned i = 0; i < block.x; ++i) {
      threadIdx = {i, 0, 0};
      bool has_waited = false;
      try {
        body(job);
      } catch (const HasWaited&) {
        has_waited = true;
      }
      if (!has_waited) broken("a thread that has not waited for the kernel before");
    }
  }
}

}  // namespace riverrun::cuda_emulator
