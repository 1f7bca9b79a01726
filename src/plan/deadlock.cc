#include <algorithm>
#include <deque>

#include "core/error.h"
#include "plan/plan.h"

namespace riverrun::plan {

namespace {

// The ranks as processes that only pass messages. Every wait is for one named rank and, once over, stays over
// until the waiting rank itself goes on: so the outcome does not depend on who moves first, and one run decides.
class Skeleton {
 public:
  Skeleton(const Plan& plan, Index messages, Index carries_held)
      : plan_(plan), messages_(messages), carries_held_(carries_held), ranks_(plan.of_rank.size()),
        sent_(plan.edges, 0), taken_(plan.edges, 0) {}

  std::string run() {
    for (std::size_t rank = 0; rank < ranks_.size(); ++rank) wake(static_cast<int>(rank));
    while (!runnable_.empty()) {
      const int rank = runnable_.front();
      runnable_.pop_front();
      ranks_[rank].queued = false;
      advance(rank);
    }
    for (std::size_t rank = 0; rank < ranks_.size(); ++rank)
      if (!ended(static_cast<int>(rank))) return cycle_from(static_cast<int>(rank));
    return "";
  }

 private:
  enum class Step { begin, receive, send, sent };
  struct Rank {
    Index at = 0;        // position in its list of blocks
    Index message = 0;
    Step step = Step::begin;
    Index held = 0;      // carries under way to other ranks
    bool queued = false;
  };
  struct Wait {
    int rank;
    std::string what;
  };

  bool ended(int rank) const { return ranks_[rank].at == std::ssize(plan_.of_rank[rank]); }
  const Block& block_of(int rank) const { return plan_.blocks[plan_.of_rank[rank][ranks_[rank].at]]; }
  static bool leaves(const Block& block) { return block.edge_out >= 0 && block.next_rank != block.rank; }

  void wake(int rank) {
    if (ranks_[rank].queued) return;
    ranks_[rank].queued = true;
    runnable_.push_back(rank);
  }

  void advance(int rank) {
    while (!ended(rank) && step(ranks_[rank], block_of(rank))) {}
  }

  // One step of a rank; false when it has to wait.
  bool step(Rank& rank, const Block& block) {
    switch (rank.step) {
      case Step::begin:
        if (block.edge_in < 0 && block.edge_out < 0) {  // nothing to send or wait for
          ++rank.at;
          return true;
        }
        if (leaves(block) && carries_held_ > 0) {
          if (rank.held == carries_held_) return false;
          ++rank.held;
        }
        rank.step = Step::receive;
        return true;
      case Step::receive:
        if (block.edge_in >= 0 && !take(block, rank.message)) return false;
        rank.step = Step::send;
        return true;
      case Step::send:
        if (block.edge_out >= 0) {
          sent_[block.edge_out] = rank.message + 1;
          if (leaves(block)) wake(block.next_rank);
        }
        rank.step = Step::sent;
        return true;
      case Step::sent:
        // A sender that may hold nothing waits for the receiver, message by message.
        if (leaves(block) && carries_held_ == 0 && taken_[block.edge_out] <= rank.message) return false;
        next(rank);
        return true;
    }
    return false;
  }

  void next(Rank& rank) {
    rank.step = Step::receive;
    if (++rank.message < messages_) return;
    rank.message = 0;
    rank.step = Step::begin;
    ++rank.at;
  }

  bool take(const Block& block, Index message) {
    if (sent_[block.edge_in] <= message) return false;
    taken_[block.edge_in] = message + 1;
    if (block.previous_rank == block.rank) return true;
    if (carries_held_ > 0 && message + 1 == messages_) --ranks_[block.previous_rank].held;
    wake(block.previous_rank);
    return true;
  }

  Wait wait_of(int rank) const {
    const Rank& state = ranks_[rank];
    const Block& block = block_of(rank);
    if (state.step == Step::receive)
      return {block.previous_rank, concat("to send edge ", block.edge_in, " (message ", state.message, ")")};
    if (state.step == Step::sent)
      return {block.next_rank, concat("to take edge ", block.edge_out, " (message ", state.message, ")")};
    for (Index at = 0; at < state.at; ++at) {
      const Block& before = plan_.blocks[plan_.of_rank[rank][at]];
      if (leaves(before) && taken_[before.edge_out] < messages_)
        return {before.next_rank, concat("to take edge ", before.edge_out)};
    }
    RR_CHECK(false, "rank ", rank, " waits for nothing");
    return {};
  }

  // Follows the waits until they come back to a rank already seen, and tells from there on.
  std::string cycle_from(int rank) const {
    std::vector<int> path;
    while (std::find(path.begin(), path.end(), rank) == path.end()) {
      path.push_back(rank);
      if (ended(rank)) break;
      rank = wait_of(rank).rank;
    }
    std::string text;
    for (auto at = std::find(path.begin(), path.end(), rank); at != path.end(); ++at)
      if (!ended(*at)) text += describe(*at) + "; ";
    if (ended(rank)) text = describe(path[path.size() - 2]) + ", which has ended; ";
    return text.substr(0, text.size() - 2);
  }

  std::string describe(int rank) const {
    const Wait wait = wait_of(rank);
    return concat("rank ", rank, " in block ", plan_.of_rank[rank][ranks_[rank].at], " waits for rank ", wait.rank,
                  " ", wait.what);
  }

  const Plan& plan_;
  const Index messages_, carries_held_;
  std::vector<Rank> ranks_;
  std::vector<Index> sent_, taken_;  // messages of each edge
  std::deque<int> runnable_;
};

}  // namespace

std::string find_deadlock(const Plan& plan, Index messages_per_edge, Index carries_held) {
  RR_CHECK(messages_per_edge >= 1 && carries_held >= 0, messages_per_edge, " messages, ", carries_held, " carries");
  return Skeleton(plan, messages_per_edge, carries_held).run();
}

}  // namespace riverrun::plan
