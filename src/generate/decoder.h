// Decoder: writes many texts at once, each from a state of its own.
//
// Texts wait in a queue and take a slot when one is free (continuous batching). A step takes one block through the
// model: one token of every text that is being written, and parts of the prompts of those that are not there yet. Which
// texts share a block is of no consequence: a row of a block has the same bits whatever stands beside it.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "generate/batch_steps.h"
#include "generate/random.h"
#include "generate/sampling.h"
#include "generate/text_end.h"
#include "model/model.h"

namespace riverrun::generate {

struct Settings {
  Sampling sampling;
  EndRules end;
  std::vector<TokenId> banned;  // never drawn
  std::uint64_t seed = 0;
};

// A text to be written.
struct Task {
  Index number = 0;                     // the caller's
  std::unique_ptr<model::State> state;  // of the model after all that was read
  std::vector<TokenId> prompt;          // read next; at least one token
  Draws draws;
};

struct Text {
  Index number = 0;
  std::vector<TokenId> tokens;
  std::string text;
  StopReason reason = StopReason::none;
  bool finite = true;  // false: a logit came out NaN or infinite, and the text is what was written until then
};

// Rows of prompts in a step, beside one row of every slot.
inline constexpr Index kPromptRows = 256;

class Decoder {
 public:
  // Bytes that a token stands for. Called from several threads at once.
  using TokenBytes = std::function<std::string(TokenId)>;

  // `slots` >= 1 texts at once. The model needs a head. `model` and `settings` must outlive the decoder.
  Decoder(const model::Model& model, const Settings& settings, TokenBytes token_bytes, Index slots, Stream stream);
  ~Decoder();

  void add(Task task);
  Index waiting() const { return std::ssize(queue_); }  // without a slot
  Index writing() const;                                // in a slot
  Index slots() const { return std::ssize(slots_); }

  // One step of all texts that have a slot; with none it does nothing. `finished` receives those that have ended.
  void step(std::vector<Text>& finished);

 private:
  struct Slot;
  void fill_slots();
  void close_gaps();
  void choose_rows();
  void prepare();
  void list_penalties();
  void fetch_random();
  void read_out(Index rows);
  void run_block();
  void take(Slot& slot, TokenId token);

  const model::Model& model_;
  const Settings& settings_;
  TokenBytes token_bytes_;
  Stream stream_;
  std::deque<Task> queue_;
  std::vector<std::unique_ptr<Slot>> slots_;  // null: free
  // What the text of each slot has come to. On a GPU they keep their memory, so that a batch of n texts, which have the first n
  // slots, has the same states whenever it comes.
  std::vector<std::unique_ptr<model::State>> slot_states_;
  std::unique_ptr<model::Workspace> workspace_;
  std::unique_ptr<BatchSteps> steps_;
  Index capacity_;
  Array<float> logits_;          // [slots, V]
  Array<std::uint64_t> random_;  // [slots]; empty when sampling is greedy
  Array<TokenId> next_;          // [slots]
  Array<TokenId> banned_;
  // Of row m: [penalty_begin_[m], penalty_begin_[m + 1]); empty when there are no penalties.
  Array<Index> penalty_begin_;
  Array<TokenId> penalised_;
  Array<float> penalties_;

  // The block of the step.
  std::vector<Slot*> drawing_;  // row i of the block is the last token that slot i knows
  std::vector<TokenId> ids_;
  std::vector<kernels::Segment> segments_;
  std::vector<model::State*> states_;
};

}  // namespace riverrun::generate
