// Plan: which rank computes which tokens, in which order. Made before any computation; knows no MPI and no model.
//
// A document is cut from its own first token into slices of `block_tokens`; one of that length or shorter is never
// cut. Where sections are asked for, it is also cut at the end of each. So where a document is cut depends on the
// document, the block size and the sections alone, and which rank computes a block never enters the arithmetic. A document
// that another run has begun is cut in the same places and goes on from one of them. Blocks are placed by a list schedule:
// whenever a rank is free it takes the ready block of the first document in a fixed order, started documents first, then
// longest first (docs/ring.md).
#pragma once

#include <string>
#include <vector>

#include "core/types.h"

namespace riverrun::plan {

// A part of a document inside a block: tokens [first_token, first_token + tokens) of its sequence.
struct Slice {
  Index document;
  Index first_token;
  Index tokens;
  bool last;  // the document ends with this slice
};

// What one rank takes through all layers at once: one slice of a long document, or several short ones whole.
struct Block {
  int rank = 0;
  std::vector<Slice> slices;
  Index tokens = 0;
  // A long document's chain of blocks; the first of them has nothing before it in this plan, even when its document goes on
  // from a token other than 0. An edge is one hand-over of a carry; edges are numbered from 0 over the
  // whole plan, and messages are told apart by that number, since two documents may overtake each other.
  Index previous = -1, next = -1;      // block numbers, -1 for none
  Index edge_in = -1, edge_out = -1;
  int previous_rank = -1, next_rank = -1;
  Index start = 0, end = 0;            // simulated, in the units of the cost model
};

// The fixed cost model of the placement, in units of "one token through one layer". Integers, so that every rank
// of any build simulates the same schedule. Only the placement depends on it, never a result.
struct CostModel {
  Index layers = 12;
  Index block_overhead = 32;  // per block and layer: weights read, kernels launched
  Index hop = 16;             // from the end of a state pass to the neighbour's start
  Index state_percent = 10;   // share of a layer that waits for the incoming state
};

// Sections of a document: the first ends after `tokens` tokens of its sequence, each later one after `between` + `tokens`
// more, where `between` tokens stand between two sections; the last with the document.
struct Sections {
  Index tokens = 0;   // 0: the document is one section
  Index between = 0;

  // The end of the section that `token` lies in, or of the next one when it lies between two; not limited by the document.
  Index end_after(Index token) const { return token < tokens ? tokens : tokens + ((token - tokens) / (tokens + between) + 1) * (tokens + between); }
};

struct Options {
  int ranks = 1;
  Index block_tokens = 512;            // B; a multiple of `chunk_tokens`
  Index chunk_tokens = 16;               // C: what every backend cuts a document into, from its start
  Index max_slices_per_block = 1024;   // bounds what a block of many short documents keeps per slice
  Sections sections;
  CostModel cost;
};

struct Plan {
  Options options;
  std::vector<Block> blocks;                  // in order of simulated start
  std::vector<std::vector<Index>> of_rank;    // block numbers each rank takes, in order
  Index edges = 0;
  Index makespan = 0;                         // simulated end
  Index tokens = 0;
};

// lengths[d] is the number of tokens document d feeds through the model; 0 gives no slice. begins[d] is the first token
// still to be computed, where a slice begins; empty: 0 for all. Throws InputError for a block size that is not a positive
// multiple of the chunk, or fewer than one rank; Error for a begin inside a slice.
Plan make_plan(const std::vector<Index>& lengths, const Options& options, const std::vector<Index>& begins = {});

// Runs the plan's messages without time or computation: `messages_per_edge` per carry in order, each rank taking
// its blocks in order. A rank begins a block with a carry to another rank only while it keeps fewer than
// `carries_held` carries that their receivers have not taken whole; with 0 each send waits for its receive, message
// by message. Returns an empty string, or the cycle of waiting ranks in words. A ring that posts receives early or
// waits for a buffer later can do no worse, so what passes here cannot deadlock there. Plans of make_plan pass with 2, save a few with sections, which need some more.
std::string find_deadlock(const Plan& plan, Index messages_per_edge, Index carries_held);

}  // namespace riverrun::plan
