#include "emulator.h"

#include <algorithm>
#include <bitset>
#include <boost/context/fiber.hpp>
#include <boost/context/fixedsize_stack.hpp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace riverrun::cuda_emulator {

void broken(const char* what) {
  std::fprintf(stderr, "cuda emulator: %s (block %u %u, thread %u)\n", what, blockIdx.x, blockIdx.y,
               threadIdx.x);
  std::abort();
}

namespace {

namespace context = boost::context;

constexpr unsigned kWarp = 32;
constexpr std::size_t kStackBytes = 256 * 1024;
constexpr std::size_t kSharedUnasked = 48 * 1024;
constexpr unsigned kMostBlocks = 65535;  // in y and z
constexpr unsigned kMostThreads = 1024, kBarriers = 16;

struct Copy {
  void* to;
  const void* from;
  std::size_t bytes;
};

struct Warp {
  unsigned arrived = 0;
  alignas(16) std::byte slots[2][kWarp][kExchangeBytes];
};

struct Barrier {
  unsigned wanted = 0;  // threads that complete it, as the first to arrive has it
  std::bitset<kMostThreads> arrived;
};

enum class Wait { no, turn, warp, barrier, done };

// What the address sanitizer has to know of a stack before it is switched to.
struct Stack {
  const void* bottom = nullptr;
  std::size_t bytes = 0;
  void* fake = nullptr;
};

void about_to_switch([[maybe_unused]] Stack& from, [[maybe_unused]] const Stack& to) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&from.fake, to.bottom, to.bytes);
#endif
}
void have_switched([[maybe_unused]] const Stack& to, [[maybe_unused]] Stack* from) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(to.fake, from == nullptr ? nullptr : &from->bottom,
                                  from == nullptr ? nullptr : &from->bytes);
#endif
}

// One thread of the block; its fiber serves one block after the other.
struct Thread {
  context::fiber fiber, scheduler;
  Stack stack;
  Wait wait = Wait::done;
  unsigned barrier = 0;  // that it waits for
  uint3 index{};
  unsigned phase = 0;  // of the warp's two rows of slots
  bool stop = false;
  std::vector<Copy> copies;
  std::deque<std::size_t> groups;  // copies per committed group
  std::size_t open = 0;            // copies since the last commit
};

// Tells where the stack is that it allocates.
struct NotedStack {
  Stack* noted;
  context::fixedsize_stack allocator{kStackBytes};
  context::stack_context allocate() {
    auto stack = allocator.allocate();
    noted->bytes = stack.size, noted->bottom = static_cast<std::byte*>(stack.sp) - stack.size;
    return stack;
  }
  void deallocate(context::stack_context& stack) { allocator.deallocate(stack); }
};

thread_local Order current_order = Order::forward;
thread_local unsigned current_starved = 0;
thread_local std::size_t shared_of_device = kLeastShared;

class Machine {
 public:
  ~Machine() {
    for (auto& thread : threads_) thread->stop = true, resume(*thread);
  }

  void run(dim3 grid, dim3 block, std::size_t shared_bytes, void (*body)(const void*), const void* job, const void* kernel) {
    if (current_ != nullptr) broken("a kernel launched from a kernel");
    if (grid.y > kMostBlocks || grid.z > kMostBlocks) broken("more than 65,535 blocks in y or z");
    const auto allowed = allowed_.find(kernel);
    most_shared_ = allowed == allowed_.end() || allowed->second < shared_bytes ? kSharedUnasked : shared_of_device;
    if (shared_bytes > most_shared_) broken("more shared memory than the kernel was allowed");
    count_ = block.x * block.y * block.z;
    if (count_ == 0 || count_ > kMostThreads || count_ % kWarp != 0) broken("blocks must be 1 to 32 whole warps");
    gridDim = grid, blockDim = block, body_ = body, job_ = job;
    dynamic_.assign(0, {}), dynamic_.shrink_to_fit(), dynamic_.resize(shared_bytes);
    static_.clear(), static_.shrink_to_fit();
    while (threads_.size() < count_) add_thread();
    warps_.resize(count_ / kWarp);
    std::vector<unsigned> blocks(grid.x * grid.y * grid.z);
    in_order(blocks);
    for (const unsigned b : blocks) {
      blockIdx = {b % grid.x, b / grid.x % grid.y, b / grid.x / grid.y};
      run_block(block);
    }
  }

  void wait(Wait what) {
    Thread& self = *current_;
    self.wait = what;
    yield(self);
  }

  void block_barrier() { barrier(0, count_, true); }

  void barrier(unsigned id, unsigned threads, bool waits) {
    if (id >= kBarriers) broken("a barrier that is not there");
    if (threads == 0 || threads % kWarp != 0 || threads > count_) broken("a barrier that is not for whole warps of the block");
    Barrier& at = barriers_[id];
    const unsigned self = lane_number();
    if (at.arrived.none()) at.wanted = threads;
    if (at.wanted != threads) broken("threads disagree on how many a barrier is for");
    if (at.arrived[self]) broken("a thread arrives at a barrier twice");
    at.arrived[self] = true;
    if (at.arrived.count() == at.wanted) {
      complete(id);
      if (!waits) wait(Wait::turn);
      return;
    }
    current_->barrier = id;
    wait(waits ? Wait::barrier : Wait::turn);  // whoever goes on may be overtaken by all others first
  }

  const std::byte* exchange(const void* mine, std::size_t bytes) {
    Thread& self = *current_;
    const unsigned at = lane_number(), lane = at % kWarp;
    Warp& warp = warps_[at / kWarp];
    auto& slots = warp.slots[self.phase ^= 1];
    if (bytes > kExchangeBytes) broken("too many bytes for an exchange");
    std::memcpy(slots[lane], mine, bytes);
    if (++warp.arrived < kWarp) {
      wait(Wait::warp);
    } else {
      warp.arrived = 0;
      for (unsigned i = 0; i < kWarp; ++i) threads_[at - lane + i]->wait = Wait::no;
    }
    return slots[0];
  }

  std::byte* dynamic_shared() { return dynamic_.data(); }
  std::byte* static_shared(std::size_t bytes) {
    if (static_.empty()) static_.assign(bytes, std::byte{0xff});
    if (static_.size() + dynamic_.size() > most_shared_) broken("more shared memory than the kernel was allowed, with its own object");
    if (static_.size() != bytes) broken("two objects in shared memory");
    return static_.data();
  }
  void allow_shared(const void* kernel, std::size_t bytes) { allowed_[kernel] = bytes; }
  Thread& current() { return *current_; }

 private:
  void complete(unsigned id) {
    Barrier& at = barriers_[id];
    for (unsigned i = 0; i < count_; ++i) {
      if (at.arrived[i] != at.arrived[i / kWarp * kWarp]) broken("a part of a warp arrives at a barrier");
    }
    at.arrived.reset();
    for (unsigned i = 0; i < count_; ++i) {
      Thread& thread = *threads_[i];
      if (thread.wait == Wait::barrier && thread.barrier == id) thread.wait = Wait::no;
    }
  }

  unsigned lane_number() const { return threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z); }

  void in_order(std::vector<unsigned>& items) {
    std::iota(items.begin(), items.end(), 0u);
    if (current_order == Order::reverse) std::reverse(items.begin(), items.end());
    if (current_order == Order::shuffled) std::shuffle(items.begin(), items.end(), random_);
  }

  void run_block(dim3 block) {
    std::fill(dynamic_.begin(), dynamic_.end(), std::byte{0xff});
    std::fill(static_.begin(), static_.end(), std::byte{0xff});
    done_ = 0;
    for (unsigned i = 0; i < count_; ++i) {
      Thread& thread = *threads_[i];
      thread.index = {i % block.x, i / block.x % block.y, i / block.x / block.y};
      thread.wait = Wait::no, thread.phase = 0, thread.open = 0;
      thread.copies.clear(), thread.groups.clear();
    }
    for (auto& warp : warps_) warp.arrived = 0;
    std::vector<unsigned> warps(warps_.size()), lanes(kWarp);
    while (done_ < count_) {
      in_order(warps);
      bool went_on = false;
      const auto take_turn = [&](unsigned warp) {
        in_order(lanes);
        while (run_warp(warp, lanes)) went_on = true;
      };
      const auto starved = [&](unsigned warp) { return current_order == Order::starved && warp == current_starved; };
      for (const unsigned warp : warps) {
        if (!starved(warp)) end_turn(warp);
      }
      for (const unsigned warp : warps) {
        if (!starved(warp)) take_turn(warp);
      }
      if (current_order == Order::starved && !went_on && current_starved < warps.size()) {
        end_turn(current_starved);
        take_turn(current_starved);
      }
      if (!went_on) broken("threads wait for others that have ended or wait elsewhere");
    }
    for (const Barrier& barrier : barriers_) {
      if (barrier.arrived.any()) broken("the block has ended before a barrier was complete");
    }
  }

  // Whoever has gone on from a barrier without waiting can be resumed.
  void end_turn(unsigned warp) {
    for (unsigned i = warp * kWarp; i < (warp + 1) * kWarp; ++i) {
      if (threads_[i]->wait == Wait::turn) threads_[i]->wait = Wait::no;
    }
  }

  // One turn for every lane that can go on; whether there was one.
  bool run_warp(unsigned warp, const std::vector<unsigned>& lanes) {
    bool went_on = false;
    for (const unsigned lane : lanes) {
      Thread& thread = *threads_[warp * kWarp + lane];
      if (thread.wait == Wait::no) resume(thread), went_on = true;
    }
    return went_on;
  }

  void resume(Thread& thread) {
    current_ = &thread;
    threadIdx = thread.index;
    about_to_switch(own_stack_, thread.stack);
    thread.fiber = std::move(thread.fiber).resume();
    have_switched(own_stack_, nullptr);
    current_ = nullptr;
  }

  void yield(Thread& self) {
    about_to_switch(self.stack, own_stack_);
    self.scheduler = std::move(self.scheduler).resume();
    have_switched(self.stack, &own_stack_);
  }

  void add_thread() {
    threads_.push_back(std::make_unique<Thread>());
    Thread* self = threads_.back().get();
    self->fiber = context::fiber(std::allocator_arg, NotedStack{&self->stack},
                                 [this, self](context::fiber&& scheduler) {
                                   self->scheduler = std::move(scheduler);
                                   have_switched(self->stack, &own_stack_);
                                   while (!self->stop) {
                                     body_(job_);
                                     if (!self->copies.empty())
                                       broken("ended before its asynchronous copies");
                                     self->wait = Wait::done, ++done_;
                                     yield(*self);
                                   }
                                   about_to_switch(self->stack, own_stack_);
                                   return std::move(self->scheduler);
                                 });
  }

  std::vector<std::unique_ptr<Thread>> threads_;
  std::vector<Warp> warps_;
  std::vector<std::byte> dynamic_, static_;
  std::size_t most_shared_ = 0;
  std::map<const void*, std::size_t> allowed_;  // by kernel
  Thread* current_ = nullptr;
  Stack own_stack_;
  Barrier barriers_[kBarriers];
  unsigned count_ = 0, done_ = 0;
  void (*body_)(const void*) = nullptr;
  const void* job_ = nullptr;
  std::minstd_rand random_;
};

Machine& machine() {
  thread_local Machine one;
  return one;
}

void make_copies(Thread& self, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i)
    std::memcpy(self.copies[i].to, self.copies[i].from, self.copies[i].bytes);
  self.copies.erase(self.copies.begin(), self.copies.begin() + static_cast<std::ptrdiff_t>(count));
}

}  // namespace

void set_order(Order order, unsigned starved_warp) { current_order = order, current_starved = starved_warp; }

void run(dim3 grid, dim3 block, std::size_t shared_bytes, void (*body)(const void*), const void* job, const void* kernel) {
  machine().run(grid, block, shared_bytes, body, job, kernel);
}
void allow_shared(const void* kernel, std::size_t bytes) { machine().allow_shared(kernel, bytes); }

void set_most_shared(std::size_t bytes) { shared_of_device = bytes; }
std::size_t most_shared() { return shared_of_device; }

void block_barrier() { machine().block_barrier(); }
void barrier(unsigned id, unsigned threads, bool wait) { machine().barrier(id, threads, wait); }
const std::byte* exchange(const void* mine, std::size_t bytes) { return machine().exchange(mine, bytes); }
void* dynamic_shared() { return machine().dynamic_shared(); }
void* static_shared(std::size_t bytes) { return machine().static_shared(bytes); }

void copy_async(void* to, const void* from, std::size_t bytes) {
  if (reinterpret_cast<std::uintptr_t>(to) % bytes != 0 ||
      reinterpret_cast<std::uintptr_t>(from) % bytes != 0) {
    broken("an asynchronous copy that is not aligned");
  }
  if (current_order == Order::forward) {
    std::memcpy(to, from, bytes);
  } else {
    machine().current().copies.push_back({to, from, bytes});
    ++machine().current().open;
  }
}

void commit_copies() {
  Thread& self = machine().current();
  self.groups.push_back(self.open);
  self.open = 0;
}

void wait_copies(std::size_t groups_left) {
  Thread& self = machine().current();
  for (; self.groups.size() > groups_left; self.groups.pop_front()) make_copies(self, self.groups.front());
}

}  // namespace riverrun::cuda_emulator
