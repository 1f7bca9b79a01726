#include "thread.h"

#include <boost/context/fixedsize_stack.hpp>
#include <cstring>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace riverrun::cuda_emulator {

namespace context = boost::context;

// Tells where the stack is that it allocates.
struct Thread::NotedStack {
  static constexpr std::size_t kBytes = 256 * 1024;
  Stack* noted;
  context::fixedsize_stack allocator{kBytes};
  context::stack_context allocate() {
    auto stack = allocator.allocate();
    noted->bytes = stack.size, noted->bottom = static_cast<std::byte*>(stack.sp) - stack.size;
    return stack;
  }
  void deallocate(context::stack_context& stack) { allocator.deallocate(stack); }
};

void Thread::about_to_switch([[maybe_unused]] Stack& from, [[maybe_unused]] const Stack& to) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&from.fake, to.bottom, to.bytes);
#endif
}
void Thread::have_switched([[maybe_unused]] const Stack& to, [[maybe_unused]] Stack* from) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(to.fake, from == nullptr ? nullptr : &from->bottom, from == nullptr ? nullptr : &from->bytes);
#endif
}

Thread::Thread(std::function<void(Thread&)> body) {
  fiber_ = context::fiber(std::allocator_arg, NotedStack{&stack_}, [this, body = std::move(body)](context::fiber&& scheduler) {
    scheduler_ = std::move(scheduler);
    have_switched(stack_, &scheduler_stack_);
    while (!stop_) {
      body(*this);
      if (!copies.empty()) broken("ended before its asynchronous copies");
      wait = Wait::done;
      pause();
    }
    about_to_switch(stack_, scheduler_stack_);
    return std::move(scheduler_);
  });
}

Thread::~Thread() {
  stop_ = true;
  resume();
}

void Thread::begin(uint3 thread_index, unsigned block_of_cluster) {
  index = thread_index, block = block_of_cluster;
  wait = Wait::no, phase = 0, open = 0, waited = shown = all_shown = false;
  copies.clear(), groups.clear();
}

void Thread::resume() {
  about_to_switch(scheduler_stack_, stack_);
  fiber_ = std::move(fiber_).resume();
  have_switched(scheduler_stack_, nullptr);
}

void Thread::pause() {
  about_to_switch(stack_, scheduler_stack_);
  scheduler_ = std::move(scheduler_).resume();
  have_switched(stack_, &scheduler_stack_);
}

void Thread::make_copies(std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) std::memcpy(copies[i].to, copies[i].from, copies[i].bytes);
  copies.erase(copies.begin(), copies.begin() + static_cast<std::ptrdiff_t>(count));
}

}  // namespace riverrun::cuda_emulator
