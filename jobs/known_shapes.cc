#include "jobs/known_shapes.h"

#include <array>

#include "core/error.h"

namespace riverrun::jobs {

namespace {

struct KnownShape {
  const char* size;
  Index layers, channels;
  Index rank_w, rank_a, rank_v, rank_g;
};

// Ranks follow no formula; they are those of the released files.
constexpr std::array kRwkv7 = {
    KnownShape{"0.1b", 12, 768, 64, 64, 32, 128},      KnownShape{"0.4b", 24, 1024, 64, 64, 32, 128},
    KnownShape{"1.5b", 24, 2048, 96, 96, 64, 256},     KnownShape{"2.9b", 32, 2560, 96, 96, 64, 320},
    KnownShape{"7.2b", 32, 4096, 128, 128, 96, 480},   KnownShape{"13.3b", 61, 4096, 192, 192, 128, 384},
};

}  // namespace

checkpoint::RandomModelShape known_shape(const std::string& generation, const std::string& size) {
  RR_CHECK_INPUT(generation == "rwkv7", "--generation '", generation, "' is none of rwkv7");
  std::string known;
  for (const KnownShape& shape : kRwkv7) {
    if (size == shape.size) {
      checkpoint::RandomModelShape found;
      found.layers = shape.layers, found.channels = shape.channels;
      found.rank_w = shape.rank_w, found.rank_a = shape.rank_a, found.rank_v = shape.rank_v, found.rank_g = shape.rank_g;
      return found;
    }
    known += concat(known.empty() ? "" : ", ", shape.size);
  }
  throw InputError(concat("--shape '", size, "' of ", generation, " is none of ", known));
}

}  // namespace riverrun::jobs
