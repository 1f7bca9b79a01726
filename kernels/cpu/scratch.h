// Scratch memory that outlives a call: a layer's loop allocates nothing once every thread has run it.
#pragma once

#include "core/buffer.h"

namespace riverrun::kernels::cpu {

// Room for `count` elements of T in `buffer`, which grows when it must; what it held is lost then. Meant for
// a thread_local Buffer.
template <class T>
T* grown(Buffer& buffer, Index count) {
  const Index bytes = count * Index{sizeof(T)};
  if (buffer.bytes() < bytes) buffer = Buffer(bytes);
  return buffer.as<T>();
}

}  // namespace riverrun::kernels::cpu
