// A Device for the emulator: memory of the host that is counted, and streams whose launches can be recorded.
#pragma once

#include "core/device.h"

namespace riverrun::cuda_emulator {

// There is one in a process. Memory is NaN when it is handed out.
Device& device();

struct MemoryUse {
  Index now = 0, most = 0;  // bytes, as they were asked for
};
MemoryUse memory_use(Memory memory);
void forget_most_memory();  // the most is what there is now, from here on
void set_free_bytes(Index bytes);  // what free_bytes() says

// Off: record() records nothing, and work is launched as on a device that does not record.
void allow_recording(bool allowed);
struct Recordings {
  Index kept = 0, made = 0, run = 0;  // those that exist; since the process began
};
Recordings recordings();

}  // namespace riverrun::cuda_emulator
