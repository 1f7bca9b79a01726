// A device that behaves like a GPU as far as the host can tell, for machines without one: the host cannot reach its memory,
// and kernels run when their stream is synchronised, or one by one as a mark is asked for, not when they are launched.
#pragma once

#include "kernels/table.h"

namespace riverrun::test {

// The kernels of `real`, which must run on the host, on such a device. There is one of it in a process.
//
//   - device memory cannot be read or written but by kernels and Device::copy: the process would die
//   - a launch keeps what its arguments say then, but not what they point to: except for host arrays, as a launch on a
//     GPU does
//   - memory that was freed is overwritten
const kernels::KernelTable& deferred(const kernels::KernelTable& real);

// How often the host has waited until a stream had nothing left to do, copies included.
Index deferred_waits();

}  // namespace riverrun::test
