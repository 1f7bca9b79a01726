// Random models are the same bytes everywhere, and only of shapes that a model can have.
#include "checkpoint/random_model.h"

#include "core/crc32c.h"
#include "support.h"

namespace riverrun::checkpoint {
namespace {

RandomModelShape small() {
  return {.layers = 3, .channels = 128, .vocab = 271, .rank_w = 48, .rank_a = 40, .rank_v = 24, .rank_g = 72};
}

std::string written(const RandomModelShape& shape) {
  const TemporaryFile file;
  write_random_model(file.path(), shape);
  return read_file(file.path());
}

TEST(RandomModel, BytesFollowFromTheShapeAlone) {
  const std::string first = written(small());
  EXPECT_EQ(written(small()), first);
  RandomModelShape other = small();
  other.seed = 2;
  EXPECT_NE(written(other), first);
  // The same on every machine and compiler.
  EXPECT_EQ(crc32c(std::as_bytes(std::span(first))), 0x6e03e4c7u);
}

TEST(RandomModel, ShapesThatAreNoModelsAreRefused) {
  const TemporaryFile file;
  const auto refused = [&](auto change) {
    RandomModelShape shape = small();
    change(shape);
    EXPECT_THROW(write_random_model(file.path(), shape), InputError);
  };
  refused([](RandomModelShape& shape) { shape.layers = 0; });
  refused([](RandomModelShape& shape) { shape.channels = 100; });
  refused([](RandomModelShape& shape) { shape.head_size = -64; });
  refused([](RandomModelShape& shape) { shape.vocab = -1; });
  refused([](RandomModelShape& shape) { shape.rank_g = 0; });
  refused([](RandomModelShape& shape) { shape.ffn = -4; });
  refused([](RandomModelShape& shape) { shape.generation = "rwkv3"; });
  refused([](RandomModelShape& shape) { shape.generation = "rwkv4", shape.time_state = true; });
  refused([](RandomModelShape& shape) { shape.dtype = DType::i8; });
}

}  // namespace
}  // namespace riverrun::checkpoint
