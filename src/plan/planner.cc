#include <algorithm>
#include <functional>
#include <queue>
#include <utility>

#include "core/error.h"
#include "plan/plan.h"

namespace riverrun::plan {

namespace {

// What is placed as one: a long document, whose blocks follow one another, or one block of short documents.
struct Unit {
  Index document = 0;            // its first document; breaks ties of length
  Index tokens = 0;              // of the whole document
  Index begin = 0;               // of a long document: what comes before is computed already
  Index slices_begin = 0, slices_end = 0;  // short documents: their slices; empty for a long one
  Index placed = 0;              // tokens of a long document already computed or placed
  Index previous = -1;           // its last placed block

  Index left() const { return tokens - begin; }
};

struct Cut {
  std::vector<Unit> units;       // in order of priority: longest first
  std::vector<Slice> short_slices;
  Index blocks = 0, tokens = 0;
};

void check(const Options& options) {
  const CostModel& cost = options.cost;
  RR_CHECK_INPUT(options.ranks >= 1, "a plan needs at least one rank, not ", options.ranks);
  RR_CHECK_INPUT(options.chunk_tokens >= 1, "a chunk has at least one token, not ", options.chunk_tokens);
  RR_CHECK_INPUT(options.block_tokens >= 1 && options.block_tokens % options.chunk_tokens == 0 &&
                     options.block_tokens <= Index{1} << 32,
                 "block size ", options.block_tokens, " is not a multiple of the chunk of ", options.chunk_tokens,
                 " tokens between 1 and 2^32; choose another --block-tokens");
  RR_CHECK_INPUT(options.max_slices_per_block >= 1, "a block holds at least one slice, not ",
                 options.max_slices_per_block);
  RR_CHECK_INPUT(options.sections.tokens >= 0 && options.sections.tokens <= Index{1} << 40 && options.sections.between >= 0 &&
                     options.sections.between <= Index{1} << 40,
                 "sections of ", options.sections.tokens, " tokens with ", options.sections.between, " between them");
  RR_CHECK_INPUT(cost.layers >= 1 && cost.block_overhead >= 0 && cost.hop >= 0 && cost.state_percent >= 0 &&
                     cost.state_percent <= 100,
                 "the cost model needs layers >= 1, block overhead and hop >= 0, a state share of 0 to 100 percent");
}

// The length of the slice at `first` of a document of `tokens`.
Index slice_tokens(const Options& options, Index tokens, Index first) {
  Index end = std::min(first + options.block_tokens, tokens);
  if (options.sections.tokens > 0) end = std::min(end, options.sections.end_after(first));
  return end - first;
}

// Slices of [begin, tokens) of a document of `tokens`.
Index count_slices(const Options& options, Index tokens, Index begin) {
  if (options.sections.tokens == 0) return (tokens - begin + options.block_tokens - 1) / options.block_tokens;
  Index slices = 0;
  for (Index first = begin; first < tokens; first += slice_tokens(options, tokens, first)) ++slices;
  return slices;
}

bool is_cut(const Options& options, Index tokens, Index at) {
  if (options.sections.tokens == 0) return at % options.block_tokens == 0;
  Index first = 0;
  while (first < at) first += slice_tokens(options, tokens, first);
  return first == at;
}

// Fills shared blocks with the short documents in input order.
class Packer {
 public:
  Packer(const Options& options, Cut& cut) : options_(options), cut_(cut) {}

  void add(Index document, Index tokens) {
    const Index slices = std::ssize(cut_.short_slices);
    if (open_.tokens + tokens > options_.block_tokens ||
        slices - open_.slices_begin == options_.max_slices_per_block) close();
    if (open_.tokens == 0) open_ = {.document = document, .slices_begin = slices};
    open_.tokens += tokens;
    cut_.short_slices.push_back({document, 0, tokens, true});
  }

  void close() {
    if (open_.tokens == 0) return;
    open_.slices_end = std::ssize(cut_.short_slices);
    cut_.units.push_back(open_);
    ++cut_.blocks;
    open_ = {.slices_begin = open_.slices_end};
  }

 private:
  const Options& options_;
  Cut& cut_;
  Unit open_;
};

Cut cut_documents(const std::vector<Index>& lengths, const Options& options, const std::vector<Index>& begins) {
  Cut cut;
  Packer packer(options, cut);
  for (Index document = 0; document < std::ssize(lengths); ++document) {
    const Index tokens = lengths[document];
    RR_CHECK_INPUT(tokens >= 0, "document ", document, " has ", tokens, " tokens");
    const Index begin = begins.empty() ? 0 : begins[document];
    RR_CHECK(begin == 0 || (begin > 0 && begin < tokens && is_cut(options, tokens, begin)), "document ", document, " of ", tokens,
             " tokens cannot go on from token ", begin, ": no slice begins there");
    cut.tokens += tokens - begin;
    if (slice_tokens(options, tokens, 0) < tokens) {
      cut.units.push_back({.document = document, .tokens = tokens, .begin = begin, .placed = begin});
      cut.blocks += count_slices(options, tokens, begin);
    } else if (tokens > 0) {
      packer.add(document, tokens);
    }
  }
  packer.close();
  std::sort(cut.units.begin(), cut.units.end(), [](const Unit& a, const Unit& b) {
    return a.left() != b.left() ? a.left() > b.left() : a.document < b.document;
  });
  return cut;
}

// The list schedule. A unit's number is its priority, so the heaps need no other key; time only moves forward,
// which leaves plan.blocks in order of start.
class Schedule {
 public:
  Schedule(Cut cut, Plan& plan) : cut_(std::move(cut)), plan_(plan), cost_(plan.options.cost) {
    plan_.blocks.reserve(cut_.blocks);
    plan_.of_rank.resize(plan.options.ranks);
    for (int rank = 0; rank < plan.options.ranks; ++rank) free_.push({0, rank});
  }

  void run() {
    while (started_ < std::ssize(cut_.units) || !ready_.empty() || !waiting_.empty()) {
      const auto [free_since, rank] = free_.top();  // of several free ranks the one that idles longest
      free_.pop();
      now_ = std::max(now_, free_since);
      const Index unit = next_unit();
      const Block& block = place(cut_.units[unit], rank);
      free_.push({block.end, rank});
      if (block.edge_out >= 0) waiting_.push({ready_after(block, cut_.units[unit]), unit});
      plan_.makespan = std::max(plan_.makespan, block.end);
    }
  }

 private:
  template <class T>
  using Heap = std::priority_queue<T, std::vector<T>, std::greater<T>>;

  Index layer_time(const Block& block) const { return block.tokens + cost_.block_overhead; }

  // How far the next block of a document runs behind this one: state pass of a layer, and the hop; at most the
  // whole block, since with a hop that slow a document had better stay where it is.
  Index lag(const Block& block) const {
    const Index state = (layer_time(block) * cost_.state_percent + 99) / 100;
    return std::min(state + cost_.hop, cost_.layers * layer_time(block));
  }

  // When the next block of the document could start without stalling: a lag after this one, and, being shorter,
  // no earlier than it needs to end a lag after this one's end. Until then its rank has better things to do.
  Index ready_after(const Block& block, const Unit& unit) const {
    const Index next = slice_tokens(plan_.options, unit.tokens, unit.placed);
    return std::max(block.start, block.end - cost_.layers * (next + cost_.block_overhead)) + lag(block);
  }

  void wake() {
    for (; !waiting_.empty() && waiting_.top().first <= now_; waiting_.pop()) ready_.push(waiting_.top().second);
  }

  // Started documents come before others; when nothing is ready, time moves on to the next that will be.
  Index next_unit() {
    wake();
    if (ready_.empty() && started_ < std::ssize(cut_.units)) return started_++;
    if (ready_.empty()) {
      now_ = waiting_.top().first;
      wake();
    }
    const Index unit = ready_.top();
    ready_.pop();
    return unit;
  }

  Block& place(Unit& unit, int rank) {
    const Index number = std::ssize(plan_.blocks);
    Block& block = plan_.blocks.emplace_back();
    plan_.of_rank[rank].push_back(number);
    block.rank = rank;
    block.start = now_;
    if (unit.slices_begin < unit.slices_end) {
      block.slices.assign(cut_.short_slices.begin() + unit.slices_begin,
                          cut_.short_slices.begin() + unit.slices_end);
      block.tokens = unit.tokens;
    } else {
      block.tokens = slice_tokens(plan_.options, unit.tokens, unit.placed);
      block.slices = {{unit.document, unit.placed, block.tokens, unit.placed + block.tokens == unit.tokens}};
      unit.placed += block.tokens;
      if (!block.slices[0].last) block.edge_out = plan_.edges++;
    }
    block.end = block.start + cost_.layers * layer_time(block);
    if (unit.previous >= 0) follow(plan_.blocks[unit.previous], unit.previous, block, number);
    unit.previous = number;
    return block;
  }

  void follow(Block& before, Index before_number, Block& block, Index number) {
    before.next = number;
    before.next_rank = block.rank;
    block.previous = before_number;
    block.previous_rank = before.rank;
    block.edge_in = before.edge_out;
  }

  Cut cut_;
  Plan& plan_;
  const CostModel& cost_;
  Index now_ = 0;
  Index started_ = 0;                           // units [0, started_) have begun
  Heap<Index> ready_;                           // begun, and the next block could start
  Heap<std::pair<Index, Index>> waiting_;       // begun; (time at which it becomes ready, unit)
  Heap<std::pair<Index, int>> free_;            // (time since when, rank)
};

}  // namespace

Plan make_plan(const std::vector<Index>& lengths, const Options& options, const std::vector<Index>& begins) {
  check(options);
  RR_CHECK(begins.empty() || begins.size() == lengths.size(), begins.size(), " beginnings for ", lengths.size(), " documents");
  Plan plan;
  plan.options = options;
  Cut cut = cut_documents(lengths, options, begins);
  plan.tokens = cut.tokens;
  Schedule(std::move(cut), plan).run();
  return plan;
}

}  // namespace riverrun::plan
