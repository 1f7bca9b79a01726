// RWKV-7 "Goose" (x070).
#pragma once

#include "model/model.h"

namespace riverrun::model {

Config read_rwkv7_config(const checkpoint::Checkpoint& file);
StateShape rwkv7_state_shape(const Config& config);
Cost rwkv7_cost(const Config& config, DType operand);
std::unique_ptr<Model> load_rwkv7(const checkpoint::Checkpoint& file, const Config& config, const kernels::KernelTable& kernels,
                                  Stream stream, DType operand, bool need_head);

}  // namespace riverrun::model
