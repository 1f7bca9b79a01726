// RWKV-6 "Finch" (x060): decay and token shift that depend on the data.
#pragma once

#include "model/generation.h"

namespace riverrun::model {

extern const Generation kRwkv6;

}  // namespace riverrun::model
