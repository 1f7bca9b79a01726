#include "kernels/cpu/dnnl_gemm.h"

#include <omp.h>

#include <map>
#include <memory>
#include <mutex>
#include <oneapi/dnnl/dnnl.hpp>
#include <tuple>
#include <vector>

#include "core/error.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/target.h"

namespace riverrun::kernels::cpu {

namespace {

// The height that weights are packed for; other heights take the layout as it is.
constexpr Index kReferenceRows = 64;

dnnl::engine& engine() {
  static dnnl::engine kEngine(dnnl::engine::kind::cpu, 0);
  return kEngine;
}

dnnl::stream& stream_of_thread() {
  thread_local dnnl::stream stream(engine());
  omp_set_num_threads(
      1);  // a setting of the calling thread alone; asked for every time, others may change it
  return stream;
}

dnnl::memory::data_type dnnl_type(DType type) {
  using Type = dnnl::memory::data_type;
  switch (type) {
    case DType::f32:
      return Type::f32;
    case DType::bf16:
      return Type::bf16;
    case DType::i8:
      return Type::s8;
    case DType::u8:
      return Type::u8;
    case DType::i32:
      return Type::s32;
    default:
      RR_CHECK(false, "operands of type ", name_of(type));
  }
}

// Of x, and of the sums, for weights of that type. With signed integers for x too, oneDNN is slower.
DType x_type(DType weights) { return weights == DType::i8 ? DType::u8 : weights; }
DType sum_type(DType weights) { return weights == DType::i8 ? DType::i32 : DType::f32; }

dnnl::primitive_attr attributes(PostOp post_op) {
  dnnl::primitive_attr attributes;
  // Scratch belongs to the call, not to the primitive: several threads run one primitive at once.
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  dnnl::post_ops ops;
  if (post_op == PostOp::add) ops.append_sum(1.0f);
#if DNNL_VERSION_MAJOR >= 3
  if (post_op == PostOp::tanh) ops.append_eltwise(dnnl::algorithm::eltwise_tanh, 0.0f, 0.0f);
  if (post_op == PostOp::sigmoid) ops.append_eltwise(dnnl::algorithm::eltwise_logistic, 0.0f, 0.0f);
  if (post_op == PostOp::silu) ops.append_eltwise(dnnl::algorithm::eltwise_swish, 1.0f, 0.0f);
#else
  if (post_op == PostOp::tanh) ops.append_eltwise(1.0f, dnnl::algorithm::eltwise_tanh, 0.0f, 0.0f);
  if (post_op == PostOp::sigmoid) ops.append_eltwise(1.0f, dnnl::algorithm::eltwise_logistic, 0.0f, 0.0f);
  if (post_op == PostOp::silu) ops.append_eltwise(1.0f, dnnl::algorithm::eltwise_swish, 1.0f, 0.0f);
#endif
  attributes.set_post_ops(ops);
  return attributes;
}

dnnl::matmul::primitive_desc describe(const GemmShape& shape, const dnnl::memory::desc& weights) {
  using Tag = dnnl::memory::format_tag;
  omp_set_num_threads(1);  // the number is built into the primitive
  const dnnl::memory::desc x({shape.rows, shape.k}, dnnl_type(x_type(shape.type)), Tag::ab);
  const dnnl::memory::desc y({shape.rows, shape.n}, dnnl_type(shape.y_type), Tag::ab);
#if DNNL_VERSION_MAJOR >= 3
  return dnnl::matmul::primitive_desc(engine(), x, weights, y, attributes(shape.post_op));
#else
  return dnnl::matmul::primitive_desc(dnnl::matmul::desc(x, weights, y), attributes(shape.post_op), engine());
#endif
}

// Asked of oneDNN once per process and shape: it builds half a primitive to answer.
dnnl::memory::desc weights_of(Index n, Index k, DType type) {
  static std::mutex mutex;
  static std::map<std::tuple<Index, Index, DType>, dnnl::memory::desc> known;
  std::lock_guard lock(mutex);
  const auto found = known.find({n, k, type});
  if (found != known.end()) return found->second;
  const dnnl::memory::desc any({k, n}, dnnl_type(type), dnnl::memory::format_tag::any);
  const auto desc = describe({kReferenceRows, n, k, type, sum_type(type), PostOp::none}, any).weights_desc();
  known[{n, k, type}] = desc;
  return desc;
}

// What has to agree before a slab of a packed matrix is itself a packed matrix.
struct Blocking {
  Index column_block = 1, row_block = 1;
  std::vector<Index> inner;  // sizes and dimensions of the inner blocks
  Index row_stride, column_stride;
  bool operator==(const Blocking&) const = default;
  std::string text() const {
    std::string text = concat(row_stride, ",", column_stride);
    for (const Index part : inner) text += concat(",", part);
    return text;
  }
};

Blocking blocking_of(const dnnl::memory::desc& desc) {
#if DNNL_VERSION_MAJOR >= 3
  const auto sizes = desc.get_inner_blks(), dims = desc.get_inner_idxs(), strides = desc.get_strides();
  const int count = desc.get_inner_nblks();
#else
  const auto& blocking = desc.data.format_desc.blocking;
  const auto &sizes = blocking.inner_blks, &dims = blocking.inner_idxs, &strides = blocking.strides;
  const int count = blocking.inner_nblks;
#endif
  Blocking found;
  for (int i = 0; i < count; ++i) {
    (dims[i] == 1 ? found.column_block : found.row_block) *= sizes[i];
    found.inner.insert(found.inner.end(), {sizes[i], dims[i]});
  }
  found.row_stride = strides[0], found.column_stride = strides[1];
  return found;
}

class DnnlGemm final : public Gemm {
 public:
  explicit DnnlGemm(const GemmShape& shape)
      : descriptor_(describe(shape, weights_of(shape.n, shape.k, shape.type))),
        primitive_(descriptor_),
        scratch_bytes_(static_cast<Index>(descriptor_.scratchpad_desc().get_size())) {}

  void run(const void* x, const void* w, void* y) const override {
    thread_local Buffer scratch;
    std::byte* const scratch_data = grown<std::byte>(scratch, scratch_bytes_);
    auto& stream = stream_of_thread();
    // oneDNN has one type for memory that is read and memory that is written.
    primitive_.execute(stream,
                       {{DNNL_ARG_SRC, {descriptor_.src_desc(), engine(), const_cast<void*>(x)}},
                        {DNNL_ARG_WEIGHTS, {descriptor_.weights_desc(), engine(), const_cast<void*>(w)}},
                        {DNNL_ARG_DST, {descriptor_.dst_desc(), engine(), y}},
                        {DNNL_ARG_SCRATCHPAD, {descriptor_.scratchpad_desc(), engine(), scratch_data}}});
    stream.wait();
  }

 private:
  dnnl::matmul::primitive_desc descriptor_;
  dnnl::matmul primitive_;
  Index scratch_bytes_;
};

void check_runtime() {
  const auto runtime = dnnl_version()->cpu_runtime;
  RR_CHECK_INPUT(runtime == DNNL_RUNTIME_OMP || runtime == DNNL_RUNTIME_SEQ,
                 "this oneDNN is built for another threading runtime (number ", runtime,
                 "); build riverrun with a oneDNN for OpenMP or without threads, as Debian's libdnnl is");
}

// Whether this build of oneDNN has it.
bool makes_product(DType type) {
  try {
    return describe({kReferenceRows, 64, 64, type, sum_type(type), PostOp::none},
                    dnnl::memory::desc({64, 64}, dnnl_type(type), dnnl::memory::format_tag::any))
               .get() != nullptr;
  } catch (const dnnl::error& error) {
    RR_CHECK(error.status == dnnl_unimplemented, "oneDNN: ", error.what());
    return false;
  }
}

}  // namespace

bool onednn_is_faster(DType type) {
  RR_CHECK(type == DType::bf16 || type == DType::i8, "no such product: ", name_of(type));
  static const bool kBf16 = has_tiles() && makes_product(DType::bf16), kInt8 = has_tiles() && makes_product(DType::i8);
  return type == DType::i8 ? kInt8 : kBf16;
}

const Gemm& find_gemm(const GemmShape& shape) {
  static std::mutex mutex;
  static std::map<GemmShape, std::unique_ptr<Gemm>> made;
  std::lock_guard lock(mutex);
  auto& gemm = made[shape];
  if (gemm == nullptr) {
    check_runtime();
    try {
      gemm = std::make_unique<DnnlGemm>(shape);
    } catch (const dnnl::error& error) {
      throw Error(concat("oneDNN cannot make a product of ", shape.rows, " x ", shape.k, " with ", shape.n,
                         " x ", shape.k, " in ", name_of(shape.type), ": ", error.what()));
    }
  }
  return *gemm;
}

PackedLayout packed_layout(Index n, Index k, DType type) {
  const auto whole = weights_of(n, k, type);
  const Blocking blocking = blocking_of(whole);
  const auto bytes = static_cast<Index>(whole.get_size());
  const PackedLayout uncut = {bytes, n, bytes, blocking.text()};
  const Index granule = blocking.column_block;
  if (granule == 1 || n <= granule) return uncut;
  for (Index width = granule; width <= std::min(n, granule * kMostGranules); width *= 2) {
    for (const Index columns : {width, n % width}) {
      if (columns != 0 && blocking_of(weights_of(columns, k, type)) != blocking) return uncut;
    }
  }
  return {bytes, granule, blocking.column_stride * size_of(type), blocking.text()};
}

Index packed_apart(const PackedLayout& layout, Index n, Index columns) {
  return columns % layout.granule == 0 ? columns : n;
}

void pack_slab(const void* w, Index row_stride, Index col_stride, const Slab& slab,
               const PackedLayout& layout, std::byte* packed) {
  const dnnl::memory::dims sizes = {slab.k, slab.columns};
  const auto type = dnnl_type(slab.type);
  const auto packed_desc = weights_of(slab.columns, slab.k, slab.type);
  const Index offset = slab.first / layout.granule * layout.granule_bytes;
  const dnnl::memory from({sizes, type, dnnl::memory::dims{col_stride, row_stride}}, engine(),
                          const_cast<void*>(w));
  const dnnl::memory to(packed_desc, engine(), packed + offset);
  auto& stream = stream_of_thread();
  dnnl::reorder(from, to).execute(stream, const_cast<dnnl::memory&>(from), const_cast<dnnl::memory&>(to));
  stream.wait();
}

}  // namespace riverrun::kernels::cpu
