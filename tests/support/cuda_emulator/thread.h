// A thread of an emulated kernel: a fiber, which serves one block after the other.
#pragma once

#include <boost/context/fiber.hpp>
#include <cstddef>
#include <deque>
#include <functional>
#include <vector>

#include "emulator.h"

namespace riverrun::cuda_emulator {

// What a thread does not go on before: nothing; its warp's next turn; the rest of its warp, all at an exchange; a barrier of the
// block; one in shared memory; the cluster.
enum class Wait { no, turn, warp, barrier, shared_barrier, cluster, done };

class Thread {
 public:
  struct Copy {
    void* to;
    const void* from;
    std::size_t bytes;
  };

  explicit Thread(std::function<void(Thread&)> body);  // what it does with every block
  ~Thread();
  Thread(const Thread&) = delete;
  Thread& operator=(const Thread&) = delete;

  void begin(uint3 thread_index, unsigned block_of_cluster);
  void resume();  // by the scheduler: until the thread next waits, or is done
  void pause();   // by the thread itself: until it is resumed
  void make_copies(std::size_t count);

  Wait wait = Wait::done;
  unsigned barrier = 0;                      // that it waits for
  const SharedBarrier* at_shared = nullptr;  // the same
  uint3 index{};
  unsigned block = 0;  // of the cluster
  unsigned phase = 0;  // of the warp's two rows of slots
  bool waited = false;     // for the kernel before
  bool shown = false;      // what it wrote, to copies, since its last barrier
  bool all_shown = false;  // by all that came to that
  std::vector<Copy> copies;
  std::deque<std::size_t> groups;  // copies per committed group
  std::size_t open = 0;            // copies since the last commit

 private:
  // What the address sanitizer has to know of a stack before it is switched to.
  struct Stack {
    const void* bottom = nullptr;
    std::size_t bytes = 0;
    void* fake = nullptr;
  };
  struct NotedStack;
  static void about_to_switch(Stack& from, const Stack& to);
  static void have_switched(const Stack& to, Stack* from);

  boost::context::fiber fiber_, scheduler_;
  Stack stack_, scheduler_stack_;
  bool stop_ = false;
};

}  // namespace riverrun::cuda_emulator
