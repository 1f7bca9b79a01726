// RWKV-4 "Dove": the recurrence of a weighted mean per channel.
#pragma once

#include "model/generation.h"

namespace riverrun::model {

extern const Generation kRwkv4;

}  // namespace riverrun::model
