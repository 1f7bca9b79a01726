// What a job takes of a GPU's memory, from shapes alone: said before anything is loaded.
#pragma once

#include "model/config.h"
#include "model/state.h"

namespace riverrun::model {

// What a process does with a model.
struct Use {
  Index block_tokens = 0;  // reads documents in blocks of up to so many tokens; 0: reads none
  bool means = false;      // pools means of hidden states
  bool scores = false;
  Index texts = 0;         // writes so many at once; 0: writes none
  Index text_rows = 0;     // in steps of up to so many rows
  Index ranks = 1;         // does all this, the weights shared, so many times at once: ranks that are threads
};

// Bytes on the device. Of all ranks together, but for the weights.
struct DeviceMemory {
  Index weights = 0;          // and all that is only read
  Index reading = 0;          // blocks, but for what follows
  Index reading_token = 0;    // for each token of a block
  Index writing = 0;          // states and activations of texts
  Index libraries = 0;        // code of kernels, cuBLAS, graphs: a guess, not measured

  // Of blocks of so many tokens. Memory comes in pieces that are larger than what was asked for by up to a 32nd.
  Index total(Index block_tokens) const {
    const Index asked = weights + reading + reading_token * block_tokens + writing;
    return asked + asked / 32 + libraries;
  }
  // How many tokens blocks may have for total() to be no more than that; below 0 when there is no room for the rest. Not when nothing is read.
  Index block_tokens_in(Index room) const { return (room - total(0)) * 32 / 33 / reading_token; }
};

DeviceMemory device_memory(const Config& config, DType operand, DType weights, bool need_head, const Use& use);

}  // namespace riverrun::model
