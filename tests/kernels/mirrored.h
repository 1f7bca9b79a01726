// The kernels of a device that does not reach the host's memory, for tests that hold everything there: on a GPU they are the tests
// of the other backends.
#pragma once

#include "kernels/table.h"

namespace riverrun::kernels {

// `table` with slots that copy what a call's pointers mean to memory of its device, run the kernel there, wait, and copy back what it
// may write. Addresses keep their remainder by 64. Error when something was written in front of an operand or behind it. One table
// per process. With RIVERRUN_TEST_LATE in the environment operands come to that memory right before the kernel, on a GPU when it may have
// started already (late_copy.h).
const KernelTable& mirrored(const KernelTable& table);

}  // namespace riverrun::kernels
