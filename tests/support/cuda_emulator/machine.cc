#include "machine.h"

#include <algorithm>
#include <cstring>
#include <numeric>

namespace riverrun::cuda_emulator {

namespace {
constexpr std::size_t kSharedUnasked = 48 * 1024;
constexpr unsigned kMostBlocks = 65535;  // in y and z
constexpr unsigned kMostOfCluster = 8;
constexpr std::uint32_t kMade = 0x6d616465;
}  // namespace

Machine& Machine::of_this_thread() {
  thread_local Machine one;
  return one;
}

void Machine::run(dim3 grid, dim3 block, std::size_t shared_bytes, void (*body)(const void*), const void* job, const void* kernel,
                  unsigned cluster) {
  if (current_ != nullptr) broken("a kernel launched from a kernel");
  if (grid.y > kMostBlocks || grid.z > kMostBlocks) broken("more than 65,535 blocks in y or z");
  if (cluster > 1 && present_gpu().capability < 9) broken("a cluster on a GPU that has none");
  if (cluster == 0 || cluster > kMostOfCluster || grid.x % cluster != 0) broken("a grid that is not whole clusters");
  const auto allowed = allowed_.find(kernel);
  most_shared_ = allowed == allowed_.end() || allowed->second < shared_bytes ? kSharedUnasked : present_gpu().most_shared;
  if (shared_bytes > most_shared_) broken("more shared memory than the kernel was allowed");
  count_ = block.x * block.y * block.z;
  if (count_ == 0 || count_ > kMostThreads || count_ % kWarp != 0) broken("blocks must be 1 to 32 whole warps");
  gridDim = grid, blockDim = block, body_ = body, job_ = job;
  while (threads_.size() < cluster * count_) {
    threads_.push_back(std::make_unique<Thread>([this](Thread&) { body_(job_); }));
  }
  warps_.resize(cluster * count_ / kWarp);
  blocks_.clear(), blocks_.resize(cluster);
  for (Block& of : blocks_) of.dynamic.resize(shared_bytes);
  std::vector<unsigned> clusters(grid.x / cluster * grid.y * grid.z);
  in_order(clusters);
  for (const unsigned c : clusters) {
    for (unsigned rank = 0; rank < cluster; ++rank) {
      const unsigned b = c * cluster + rank;
      blocks_[rank].index = {b % grid.x, b / grid.x % grid.y, b / grid.x / grid.y};
    }
    run_cluster(block);
  }
}

void Machine::begin(Block& of, unsigned rank, dim3 block) {
  std::fill(of.dynamic.begin(), of.dynamic.end(), std::byte{0xff});
  std::fill(of.fixed.begin(), of.fixed.end(), std::byte{0xff});
  of.shared_barriers.clear();
  for (unsigned i = 0; i < count_; ++i) {
    threads_of(rank)[i]->begin({i % block.x, i / block.x % block.y, i / block.x / block.y}, rank);
  }
}

void Machine::run_cluster(dim3 block) {
  const auto ranks = static_cast<unsigned>(blocks_.size());
  for (unsigned rank = 0; rank < ranks; ++rank) begin(blocks_[rank], rank, block);
  for (auto& warp : warps_) warp.arrived = 0;
  const auto all_ended = [&] {
    for (unsigned rank = 0; rank < ranks; ++rank) {
      if (!all_done(rank)) return false;
    }
    return true;
  };
  while (!all_ended()) {
    if (order_ == Order::shuffled && random_() % 2 == 0) deliver();
    if (!take_turns() && !deliver()) broken("threads wait for others that have ended or wait elsewhere");
  }
  if (!under_way_.empty()) broken("the block has ended before what was sent has come");
  for (const Block& of : blocks_) check_ended(of);
}

void Machine::check_ended(const Block& of) {
  for (const Barrier& barrier : of.barriers) {
    if (barrier.arrived.any()) broken("the block has ended before a barrier was complete");
  }
  for (const SharedBarrier* barrier : of.shared_barriers) {
    if (barrier->missing != barrier->arrivals || barrier->bytes != 0) broken("the block has ended before a barrier was complete");
  }
}

bool Machine::all_done(unsigned block) {
  return std::all_of(threads_of(block), threads_of(block) + count_, [](const auto& thread) { return thread->wait == Wait::done; });
}

void Machine::in_order(std::vector<unsigned>& items) {
  std::iota(items.begin(), items.end(), 0u);
  if (order_ == Order::reverse) std::reverse(items.begin(), items.end());
  if (order_ == Order::shuffled) std::shuffle(items.begin(), items.end(), random_);
}

bool Machine::take_turns() {
  std::vector<unsigned> warps(warps_.size());
  in_order(warps);
  bool went_on = false;
  for (const unsigned warp : warps) {
    if (!is_starved(warp)) end_turn(warp);
  }
  for (const unsigned warp : warps) {
    if (!is_starved(warp)) went_on |= run_warp(warp);
  }
  if (went_on || order_ != Order::starved || starved_ >= warps.size()) return went_on;
  if (deliver()) return true;
  for (const unsigned lanes : {kWarp - 1, kWarp}) {
    end_turn(starved_, lanes);
    if (run_warp(starved_, lanes)) return true;
  }
  return false;
}

// Whoever of the first `lanes` has gone on from a barrier without waiting can be resumed.
void Machine::end_turn(unsigned warp, unsigned lanes) {
  for (unsigned i = warp * kWarp; i < warp * kWarp + lanes; ++i) {
    if (threads_[i]->wait == Wait::turn) threads_[i]->wait = Wait::no;
  }
}

// Turns for its first `lanes` as long as one can go on; whether there was one.
bool Machine::run_warp(unsigned warp, unsigned lanes) {
  std::vector<unsigned> order(kWarp);
  in_order(order);
  bool went_on = false;
  for (bool again = true; again; went_on |= again) {
    again = false;
    for (const unsigned lane : order) {
      Thread& thread = *threads_[warp * kWarp + lane];
      if (lane >= lanes || thread.wait != Wait::no) continue;
      current_ = &thread, threadIdx = thread.index, blockIdx = blocks_[thread.block].index;
      thread.resume();
      current_ = nullptr, again = true;
    }
  }
  return went_on;
}

void Machine::pause(Wait what) {
  Thread& self = *current_;
  self.wait = what;
  self.pause();
}

void Machine::barrier(unsigned id, unsigned threads, bool waits) {
  if (id >= kBarriers) broken("a barrier that is not there");
  if (threads == 0 || threads % kWarp != 0 || threads > count_) broken("a barrier that is not for whole warps of the block");
  Barrier& at = own().barriers[id];
  const unsigned self = lane_number();
  if (at.arrived.none()) at.wanted = threads;
  if (at.wanted != threads) broken("threads disagree on how many a barrier is for");
  if (at.arrived[self]) broken("a thread arrives at a barrier twice");
  at.arrived[self] = true;
  if (at.arrived.count() == at.wanted) {
    complete(at, id);
    if (!waits) pause(Wait::turn);
    return;
  }
  current_->barrier = id;
  pause(waits ? Wait::barrier : Wait::turn);  // whoever goes on may be overtaken by all others first
}

void Machine::complete(Barrier& at, unsigned id) {
  for (unsigned i = 0; i < count_; ++i) {
    if (at.arrived[i] != at.arrived[i / kWarp * kWarp]) broken("a part of a warp arrives at a barrier");
  }
  bool all_shown = true;
  for (unsigned i = 0; i < count_; ++i) all_shown = all_shown && (!at.arrived[i] || threads_of(current_->block)[i]->shown);
  for (unsigned i = 0; i < count_; ++i) {
    Thread& thread = *threads_of(current_->block)[i];
    if (at.arrived[i]) thread.all_shown = all_shown, thread.shown = false;
    if (thread.wait == Wait::barrier && thread.barrier == id) thread.wait = Wait::no;
  }
  at.arrived.reset();
}

const std::byte* Machine::exchange(const void* mine, std::size_t bytes) {
  Thread& self = *current_;
  const unsigned at = lane_number(), lane = at % kWarp;
  Warp& warp = warps_[(self.block * count_ + at) / kWarp];
  auto& slots = warp.slots[self.phase ^= 1];
  if (bytes > kExchangeBytes) broken("too many bytes for an exchange");
  std::memcpy(slots[lane], mine, bytes);
  if (++warp.arrived < kWarp) {
    pause(Wait::warp);
  } else {
    warp.arrived = 0;
    for (unsigned i = 0; i < kWarp; ++i) threads_of(self.block)[at - lane + i]->wait = Wait::no;
    if (is_starved((self.block * count_ + at) / kWarp) && lane == kWarp - 1) pause(Wait::turn);
  }
  return slots[0];
}

std::byte* Machine::static_shared(std::size_t bytes) {
  Block& of = own();
  if (of.fixed.empty()) of.fixed.assign(bytes, std::byte{0xff});
  if (of.fixed.size() + of.dynamic.size() > most_shared_) broken("more shared memory than the kernel was allowed, with its own object");
  if (of.fixed.size() != bytes) broken("two objects in shared memory");
  return of.fixed.data();
}

void* Machine::in_block(const void* mine, std::size_t bytes, unsigned rank) {
  if (rank >= blocks_.size()) broken("a block that is not in the cluster");
  if (all_done(rank)) broken("a block of the cluster has ended before what comes to it");
  auto& here = own().dynamic;
  const auto at = static_cast<const std::byte*>(mine) - here.data();
  if (at < 0 || static_cast<std::size_t>(at) + bytes > here.size()) broken("what is not in the launch's shared memory");
  return blocks_[rank].dynamic.data() + at;
}

void Machine::init_barrier(SharedBarrier& barrier, unsigned arrivals) {
  barrier = {kMade, arrivals, arrivals, 0, 0};
  own().shared_barriers.push_back(&barrier);
}

void Machine::wait_at(SharedBarrier& barrier, unsigned parity) {
  if (barrier.made != kMade) broken("a barrier that was not made");
  if (barrier.phase % 2 != parity) return;
  current_->at_shared = &barrier;
  pause(Wait::shared_barrier);
}

void Machine::complete_if_all_came(SharedBarrier& barrier) {
  if (barrier.missing != 0 || barrier.bytes != 0) return;
  barrier.missing = barrier.arrivals, ++barrier.phase;
  for (auto& thread : threads_) {
    if (thread->wait == Wait::shared_barrier && thread->at_shared == &barrier) thread->wait = Wait::no;
  }
}

void Machine::arrive_at(SharedBarrier& at, unsigned rank, unsigned bytes) {
  auto& barrier = *static_cast<SharedBarrier*>(in_block(&at, sizeof(at), rank));
  if (barrier.made != kMade) broken("a barrier that was not made");
  if (barrier.missing == 0) broken("more arrive at a barrier than it was made for");
  --barrier.missing, barrier.bytes += bytes;
  complete_if_all_came(barrier);
  pause(Wait::turn);
}

void Machine::send(const void* mine, std::size_t bytes, SharedBarrier& at, unsigned rank) {
  if (reinterpret_cast<std::uintptr_t>(mine) % 16 != 0 || bytes % 16 != 0) broken("a copy to another block that is not aligned");
  if (!current_->all_shown) broken("a copy of what was not shown to copies before the last barrier");
  under_way_.push_back(
      {in_block(mine, bytes, rank), mine, bytes, static_cast<SharedBarrier*>(in_block(&at, sizeof(at), rank)), current_->block, rank});
  if (order_ == Order::forward) deliver();
}

bool Machine::deliver() {
  if (under_way_.empty()) return false;
  std::vector<Sent> now = std::move(under_way_);
  under_way_.clear();
  if (order_ == Order::shuffled) {
    std::shuffle(now.begin(), now.end(), random_);
    const auto kept = now.begin() + static_cast<std::ptrdiff_t>(1 + random_() % now.size());
    under_way_.assign(kept, now.end()), now.erase(kept, now.end());
  }
  for (const Sent& sent : now) {
    if (all_done(sent.source) || all_done(sent.target)) broken("a block of the cluster has ended before what was sent has come");
    std::memcpy(sent.to, sent.from, sent.bytes);
    sent.barrier->bytes -= static_cast<std::int64_t>(sent.bytes);
    complete_if_all_came(*sent.barrier);
  }
  return true;
}

void Machine::cluster_barrier() {
  const auto waits = [](const auto& thread) { return thread->wait == Wait::cluster; };
  const auto end = threads_.begin() + static_cast<std::ptrdiff_t>(blocks_.size() * count_);
  if (std::count_if(threads_.begin(), end, waits) + 1 < end - threads_.begin()) return pause(Wait::cluster);
  for (auto thread = threads_.begin(); thread != end; ++thread) {
    if (waits(*thread)) (*thread)->wait = Wait::no;
  }
}

}  // namespace riverrun::cuda_emulator
