// The readers behind open_checkpoint, one per format. Each takes a file that its format's first bytes were
// seen in.
#pragma once

#include <memory>

#include "checkpoint/checkpoint.h"

namespace riverrun::checkpoint {

std::unique_ptr<Checkpoint> read_pth(std::shared_ptr<const MappedFile> file);
std::unique_ptr<Checkpoint> read_safetensors(std::shared_ptr<const MappedFile> file);

}  // namespace riverrun::checkpoint
