// RWKV-5 "Eagle": 5.0 without a gate, 5.1 with one, 5.2 with decay and bonus per channel instead of per head.
#pragma once

#include "model/generation.h"

namespace riverrun::model {

extern const Generation kRwkv50, kRwkv51, kRwkv52;

}  // namespace riverrun::model
