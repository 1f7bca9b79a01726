// The blocks that run at the same time, and whose turn it is.
#pragma once

#include <bitset>
#include <map>
#include <memory>
#include <random>
#include <vector>

#include "emulator.h"
#include "thread.h"

namespace riverrun::cuda_emulator {

class Machine {
 public:
  static Machine& of_this_thread();

  void set_order(Order order, unsigned starved_warp) { order_ = order, starved_ = starved_warp; }
  void allow_shared(const void* kernel, std::size_t bytes) { allowed_[kernel] = bytes; }
  void run(dim3 grid, dim3 block, std::size_t shared_bytes, void (*body)(const void*), const void* job, const void* kernel,
           unsigned cluster);

  // For the thread whose turn it is.
  Order order() const { return order_; }
  Thread& current() { return *current_; }
  void barrier(unsigned id, unsigned threads, bool waits);
  void block_barrier() { barrier(0, count_, true); }
  const std::byte* exchange(const void* mine, std::size_t bytes);
  std::byte* dynamic_shared() { return own().dynamic.data(); }
  std::byte* static_shared(std::size_t bytes);
  void init_barrier(SharedBarrier& barrier, unsigned arrivals);
  void wait_at(SharedBarrier& barrier, unsigned parity);
  void cluster_barrier();
  void arrive_at(SharedBarrier& at, unsigned rank, unsigned bytes);
  void send(const void* mine, std::size_t bytes, SharedBarrier& at, unsigned rank);

 private:
  static constexpr unsigned kWarp = 32, kMostThreads = 1024, kBarriers = 16;

  struct Warp {
    unsigned arrived = 0;
    alignas(16) std::byte slots[2][kWarp][kExchangeBytes];
  };
  struct Barrier {
    unsigned wanted = 0;  // threads that complete it, as the first to arrive has it
    std::bitset<kMostThreads> arrived;
  };
  struct Block {
    uint3 index{};
    std::vector<std::byte> dynamic, fixed;
    Barrier barriers[kBarriers];
    std::vector<const SharedBarrier*> shared_barriers;
  };
  struct Sent {
    void* to;
    const void* from;
    std::size_t bytes;
    SharedBarrier* barrier;
    unsigned source, target;  // blocks
  };

  Block& own() { return blocks_[current_->block]; }
  unsigned lane_number() const { return threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z); }
  std::unique_ptr<Thread>* threads_of(unsigned block) { return threads_.data() + block * count_; }
  bool all_done(unsigned block);
  void* in_block(const void* mine, std::size_t bytes, unsigned rank);
  void pause(Wait what);
  void complete(Barrier& barrier, unsigned id);
  void complete_if_all_came(SharedBarrier& barrier);
  void begin(Block& block, unsigned rank, dim3 threads);
  void check_ended(const Block& block);
  void run_cluster(dim3 block);
  bool take_turns();  // whether anybody went on
  bool deliver();     // what was sent; whether there was anything
  void in_order(std::vector<unsigned>& items);
  void end_turn(unsigned warp, unsigned lanes = kWarp);
  bool run_warp(unsigned warp, unsigned lanes = kWarp);
  bool is_starved(unsigned warp) const { return order_ == Order::starved && warp == starved_; }

  Order order_ = Order::forward;
  unsigned starved_ = 0;
  std::vector<std::unique_ptr<Thread>> threads_;  // block by block of the cluster
  std::vector<Warp> warps_;
  std::vector<Block> blocks_;
  std::vector<Sent> under_way_;
  std::size_t most_shared_ = 0;
  std::map<const void*, std::size_t> allowed_;  // by kernel
  Thread* current_ = nullptr;
  unsigned count_ = 0;  // threads of a block
  void (*body_)(const void*) = nullptr;
  const void* job_ = nullptr;
  std::minstd_rand random_;
};

}  // namespace riverrun::cuda_emulator
