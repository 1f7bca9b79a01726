// BlockRun: takes one block after the other through the layers, and hands on what its slices give.
#pragma once

#include <memory>
#include <set>
#include <vector>

#include "ring/carry_desk.h"
#include "ring/readout.h"
#include "ring/result_desk.h"
#include "ring/ring.h"
#include "ring/verify.h"

namespace riverrun::ring {

// Thrown when the job is to stop, where a rank can.
struct Stop {};

class BlockRun {
 public:
  // All must outlive it. Times are added to `statistics`.
  BlockRun(const Job& job, const CarryLayout& layout, transport::Transport& transport, CarryDesk& desk, ResultDesk& results,
           Statistics& statistics, Stream stream);

  // With `proof`: also what is needed to compute the block again, and to see that it comes to the same.
  void run(Index number, BlockProof* proof = nullptr);
  // Computes the block of `proof` again and hands on nothing. What it comes to, without the incoming carry.
  BlockProof run_again(const BlockProof& proof);
  Index number() const { return number_; }  // of the block that was run last

  // Throws Stop when the job is to stop. Not while a block gives its results: they are almost there, and the carry behind the
  // next block is worth nothing without them.
  void stop_here() const {
    if (!finishing_ && transport_.stopping()) throw Stop{};
  }

 private:
  void compute(const plan::Block& block);
  void begin_block(const plan::Block& block);
  void start_block();
  void run_layer(Index layer);
  void read_out_block(const plan::Block& block);
  void give_results(const plan::Block& block);
  void sign(BlockProof& proof) const;
  bool stays_finite(const Carry* carry) const;
  void find_troubles(const plan::Block& block);
  bool forks(const plan::Slice& slice) const { return job_.fork && job_.fork->wants(slice); }
  std::unique_ptr<model::State> state_handed_on();
  float* first_row();
  void hand_on(Index message);
  void keep_up();
  void wait_for_stream();
  void trace_wait(const char* name, const char* category, transport::Clock::time_point begin, Index layer);
  void await(Index message);
  const float* receive(Index message);
  template <class Place, class Receive>
  void point_in(Place place, Receive receive);
  template <class Place>
  void point_out(Place place, float* carried);
  template <class Body>
  void step(const char* name, Index layer, Body body);

  const Job& job_;
  const model::Model& model_;
  const CarryLayout& layout_;
  transport::Transport& transport_;
  CarryDesk& desk_;
  ResultDesk& results_desk_;
  Statistics& statistics_;
  Stream stream_;
  std::unique_ptr<model::Workspace> workspace_;
  Readout readout_;
  bool finishing_ = false;

  // The block being computed.
  Index number_ = 0;
  const Carry* in_ = nullptr;
  Carry* out_ = nullptr;
  bool again_ = false;  // it was computed before: its incoming carry is whole, and nothing is handed on
  TokenId previous_id_ = 0;
  std::vector<TokenId> ids_, next_ids_;
  std::vector<kernels::Segment> segments_;
  std::vector<std::unique_ptr<model::State>> states_;  // per segment, null where it is not kept
  std::vector<const float*> pointers_in_;
  std::vector<float*> pointers_out_;
  std::vector<SliceResult> results_;
  Array<float> first_row_;
  Array<float> residual_;  // [B, D], made when a number is not finite
  std::set<Index> looked_into_;  // documents, by find_troubles()
};

}  // namespace riverrun::ring
