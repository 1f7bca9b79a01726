#include "jobs/bench/known_shapes.h"

#include <array>

#include "core/error.h"

namespace riverrun::jobs {

namespace {

struct KnownShape {
  const char* generation;
  const char* size;
  Index layers, channels;
  Index rank_w = 1, rank_a = 1, rank_v = 1, rank_g = 1, rank_shift = 1;
};

// Ranks follow no formula; they are those of the released files.
constexpr std::array kShapes = {
    KnownShape{"rwkv4", "0.1b", 12, 768},
    KnownShape{"rwkv4", "0.4b", 24, 1024},
    KnownShape{"rwkv4", "1.5b", 24, 2048},
    KnownShape{"rwkv4", "3b", 32, 2560},
    KnownShape{"rwkv4", "7b", 32, 4096},
    KnownShape{"rwkv4", "14b", 40, 5120},
    KnownShape{"rwkv5.0", "0.1b", 12, 768},
    // A step on the way to 5.2, in the shapes of its neighbours.
    KnownShape{"rwkv5.1", "0.1b", 12, 768},
    KnownShape{"rwkv5.1", "0.4b", 24, 1024},
    KnownShape{"rwkv5.1", "1.5b", 24, 2048},
    KnownShape{"rwkv5.2", "0.4b", 24, 1024},
    KnownShape{"rwkv5.2", "1.5b", 24, 2048},
    KnownShape{"rwkv5.2", "3b", 32, 2560},
    KnownShape{"rwkv5.2", "7b", 32, 4096},
    KnownShape{"rwkv6", "1.6b", 24, 2048, 64, 1, 1, 1, 32},
    KnownShape{"rwkv6", "3b", 32, 2560, 64, 1, 1, 1, 32},
    KnownShape{"rwkv6", "7b", 32, 4096, 128, 1, 1, 1, 64},
    KnownShape{"rwkv6", "14b", 61, 4096, 128, 1, 1, 1, 64},
    KnownShape{"rwkv7", "0.1b", 12, 768, 64, 64, 32, 128},
    KnownShape{"rwkv7", "0.4b", 24, 1024, 64, 64, 32, 128},
    KnownShape{"rwkv7", "1.5b", 24, 2048, 96, 96, 64, 256},
    KnownShape{"rwkv7", "2.9b", 32, 2560, 96, 96, 64, 320},
    KnownShape{"rwkv7", "7.2b", 32, 4096, 128, 128, 96, 480},
    KnownShape{"rwkv7", "13.3b", 61, 4096, 192, 192, 128, 384},
    KnownShape{"rwkv7a", "0.1b", 12, 768, 64, 64, 32, 128},
};

void list(std::string& names, const char* name) {
  if (!names.ends_with(name)) names += concat(names.empty() ? "" : ", ", name);
}

}  // namespace

checkpoint::RandomModelShape known_shape(const std::string& generation, const std::string& size) {
  std::string generations, sizes;
  for (const KnownShape& shape : kShapes) {
    list(generations, shape.generation);
    if (generation != shape.generation) continue;
    list(sizes, shape.size);
    if (size != shape.size) continue;
    checkpoint::RandomModelShape found;
    found.generation = generation;
    found.layers = shape.layers, found.channels = shape.channels;
    found.rank_w = shape.rank_w, found.rank_a = shape.rank_a, found.rank_v = shape.rank_v, found.rank_g = shape.rank_g;
    found.rank_shift = shape.rank_shift;
    return found;
  }
  RR_CHECK_INPUT(!sizes.empty(), "--generation '", generation, "' is none of ", generations);
  throw InputError(concat("--shape '", size, "' of ", generation, " is none of ", sizes));
}

}  // namespace riverrun::jobs
