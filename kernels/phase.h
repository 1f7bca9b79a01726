// Phase: whether documents are read or texts are written.
#pragma once

namespace riverrun::kernels {

// Long stretches of few documents, or a token each of many texts. A backend may have kernels for either, with other bits.
// Who calls says which; a kernel never guesses it from the number of rows, which depends on what happens to stand beside.
enum class Phase { prefill, decode };

}  // namespace riverrun::kernels
