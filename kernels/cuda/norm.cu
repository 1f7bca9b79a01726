#include <limits>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/normalize.cuh"
#include "kernels/cuda/table.h"

namespace riverrun::kernels::cuda {

namespace {

// A block takes a row.
template <bool kWhole, class To>
__global__ void layer_norm_kernel(LayerNormArgs args, To* y) {
  wait_for_previous();
  BlockSum& sums = block_shared<BlockSum>();
  float* row = launch_shared<float>();
  const Index first = blockIdx.x * args.D;
  load_row<kWhole>(args.x + first, args.D, row);
  normalize<kWhole>(row, args.D, args.weight, args.bias, args.eps, sums);
  own_fours(args.D, [&](Index at) { store_four<kWhole>(y + first, at, args.D, four_at(row, at)); });
}

// An id outside the vocabulary, which the caller was to refuse, gives a row of NaN rather than foreign
// memory.
template <bool kWhole, class From>
__global__ void embed_kernel(EmbedArgs args, const From* table) {
  wait_for_previous();
  BlockSum& sums = block_shared<BlockSum>();
  float* row = launch_shared<float>();
  const Index D = args.D, id = args.ids[blockIdx.x];
  if (id >= 0 && id < args.V) {
    load_row<kWhole>(table + id * D, D, row);
  } else {
    own_fours(D, [&](Index at) { four_at(row, at) = all_four(std::numeric_limits<float>::quiet_NaN()); });
  }
  if (args.weight != nullptr) normalize<kWhole>(row, D, args.weight, args.bias, args.eps, sums);
  own_fours(D, [&](Index at) { store_four<kWhole>(args.x + blockIdx.x * D, at, D, four_at(row, at)); });
}

Index row_bytes(Index D) { return padded_width(D) * Index{sizeof(float)}; }

}  // namespace

void layer_norm(const LayerNormArgs& args, Stream stream) {
  with_type(args.y, args.y_type, [&]<class To>(To* y) {
    with_flag(whole_fours(args.D, args.x, args.weight, args.bias, y), [&](auto whole) {
      launch(layer_norm_kernel<whole.value, To>, dim3(static_cast<unsigned>(args.M)), threads_for(args.D),
             row_bytes(args.D), stream, args, y);
    });
  });
}

void embed(const EmbedArgs& args, Stream stream) {
  with_type(args.table, args.table_type, [&]<class From>(const From* table) {
    with_flag(whole_fours(args.D, args.x, args.weight, args.bias, table), [&](auto whole) {
      launch(embed_kernel<whole.value, From>, dim3(static_cast<unsigned>(args.M)), threads_for(args.D),
             row_bytes(args.D), stream, args, table);
    });
  });
}

}  // namespace riverrun::kernels::cuda
