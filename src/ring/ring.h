// Ring: takes a rank's blocks through the layers, waiting for carries and handing them on (docs/ring.md).
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include "core/trace.h"
#include "model/model.h"
#include "plan/plan.h"
#include "ring/carry_desk.h"
#include "ring/fork.h"
#include "ring/readout.h"
#include "ring/result.h"
#include "transport/transport.h"

namespace riverrun::ring {

// Where the token ids come from: the span holds ids [first, first + count) of the document's sequence and stays
// valid until the next call.
using TokenSource = std::function<std::span<const TokenId>(Index document, Index first, Index count)>;

// Copies of carries, from which another run can go on inside a document.
struct Checkpoints {
  transport::Clock::duration interval{};         // between two copies that a rank sends, in time; zero: none, ever
  std::function<void(CarryCopy copy)> on_copy;   // rank 0; of one document in any order, and some more than once
  Restart restart;                               // for the plan's documents that go on where another run stopped
};

struct Job {
  const plan::Plan& plan;
  const model::Model& model;
  const kernels::KernelTable& kernels;
  Request request;
  TokenSource tokens;
  transport::Clock::duration timeout;                      // of every wait
  // Rank 0: called as results come in, from its own thread, with the share of time it has computed so far, in [0, 1].
  std::function<void(SliceResult result, double efficiency)> on_result;
  Trace* trace = nullptr;
  const model::State* start = nullptr;  // what every document starts from, in place of the model's initial state
  Fork* fork = nullptr;
  Checkpoints checkpoints{};
  Index carries_in_flight = kCarriesInFlight;  // with which the plan passes plan::find_deadlock
  Index verify = 0;  // blocks of each rank that the next rank computes again when all has been read (verify.h)
};

// Where one rank's time went: total = compute + fork + send + wait + tail. Rank 0's writing of results counts as compute, and
// verifying as tail.
struct Statistics {
  double compute_seconds = 0;
  double state_seconds = 0;  // of the former: in the recurrence, between receiving a state and sending the next one
  double fork_seconds = 0;   // in Job::fork, its waiting for other ranks included
  double send_seconds = 0;   // sealing carries and posting them
  double wait_seconds = 0;   // for carries, and for room to send, while there were blocks to do
  double tail_seconds = 0;   // after the rank's last block and without Job::fork: until its carries and results were taken
  double total_seconds = 0;
  Index tokens = 0, blocks = 0, bytes_sent = 0;
  Index texts = 0, text_tokens = 0;  // written in Job::fork
  Index verified = 0;        // blocks of another rank that came to the same bytes here
  bool stopped = false;      // before the end, since the job was to stop; the same on all ranks

  Statistics& operator+=(const Statistics& other) {
    for (auto member : {&Statistics::compute_seconds, &Statistics::state_seconds, &Statistics::fork_seconds, &Statistics::send_seconds,
                        &Statistics::wait_seconds, &Statistics::tail_seconds, &Statistics::total_seconds}) {
      this->*member += other.*member;
    }
    stopped = stopped || other.stopped;
    for (auto member : {&Statistics::tokens, &Statistics::blocks, &Statistics::bytes_sent, &Statistics::texts, &Statistics::text_tokens,
                        &Statistics::verified}) {
      this->*member += other.*member;
    }
    return *this;
  }
};

// Runs this rank's part of the plan; rank 0 returns when the results of all slices of all ranks have been handed to
// on_result. When the job is to stop (Transport::stopping), every rank stops between two steps of a layer, or at the end of
// its block if it has only results left to give; what it has goes to rank 0, a copy of each whole carry too, and it returns.
// Throws Error at a deadline, for a message that is not the one expected, or when another rank failed.
Statistics run(const Job& job, transport::Transport& transport, Stream stream);

}  // namespace riverrun::ring
