#include "mirrored.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string_view>
#include <vector>

#include "core/buffer.h"
#include "core/error.h"
#include "late_copy.h"

namespace riverrun::kernels {

namespace {

const KernelTable* original = nullptr;

// Whether operands come when the kernel may have started already: it finds NaN where it does not wait for them.
bool come_late() { return std::getenv("RIVERRUN_TEST_LATE") != nullptr; }

void bring(void* to, const void* from, Index bytes, Stream stream) {
#if RIVERRUN_WITH_CUDA
  if (std::string_view(original->backend) == "cuda") return copy_late(to, from, bytes, stream);
#endif
  original->device->copy(to, from, bytes, stream);
}

// The operands of one call in memory of the device.
class Mirror {
 public:
  explicit Mirror(Stream host) : stream_(*original->device, *host.pool) {}

  Stream stream() const { return stream_; }

  // From here on `pointer` is to the operand's copy. Null and operands of no elements stay what they are.
  template <class T>
  void move(T*& pointer, Index count) {
    move_bytes(pointer, count * Index{sizeof(T)});
  }
  template <class Void>
  void move(Void*& pointer, DType type, Index count) {
    move_bytes(pointer, count * size_of(type));
  }
  // Each of `pointers`, to `count` elements.
  template <class T>
  void move_each(T* const*& pointers, Index size, Index count) {
    const auto moved = std::make_shared<std::vector<T*>>(pointers, pointers + size);
    for (T*& pointer : *moved) move(pointer, count);
    lists_.push_back(moved);
    pointers = moved->data();
  }
  template <class Void>
  void move_each(Void* const*& pointers, Index size, DType type, Index count) {
    const auto moved = std::make_shared<std::vector<Void*>>(pointers, pointers + size);
    for (Void*& pointer : *moved) move(pointer, type, count);
    lists_.push_back(moved);
    pointers = moved->data();
  }

  // Behind this nothing may come between the operands and the kernel.
  void bring_operands() {
    for (auto& [host, piece] : pieces_) {
      if (piece.source.data() != nullptr) bring(piece.there.data(), piece.source.data(), piece.there.bytes(), stream_);
    }
  }

  // Waits for the kernel, and brings back what it may have written.
  void finish() {
    for (auto& [host, piece] : pieces_) {
      auto& bytes = piece.bytes;
      original->device->copy(bytes.data(), piece.there.data(), std::ssize(bytes), stream_);
      const auto first = bytes.begin() + piece.offset, last = first + piece.size;
      const auto untouched = [](std::byte byte) { return byte == kUntouched; };
      RR_CHECK(std::all_of(bytes.begin(), first, untouched), "written in front of an operand of ", piece.size, " bytes");
      RR_CHECK(std::all_of(last, bytes.end(), untouched), "written behind an operand of ", piece.size, " bytes");
      if (piece.written) std::copy(first, last, static_cast<std::byte*>(const_cast<void*>(host)));
    }
  }

 private:
  static constexpr Index kGuard = 256, kKeptRemainder = 64;
  static constexpr std::byte kUntouched{0xff};  // NaN in every type, as what is behind an operand should be

  struct Piece {
    Index offset, size;  // of the operand in `bytes`
    bool written;
    std::vector<std::byte> bytes;
    Buffer there, source;  // source: where it is until it comes late
  };

  template <class T>
  void move_bytes(T*& pointer, Index size) {
    if (pointer == nullptr || size == 0) return;
    Piece& piece = pieces_[pointer];
    if (piece.there.data() == nullptr) {
      const auto offset = kGuard + static_cast<Index>(reinterpret_cast<std::uintptr_t>(pointer) % kKeptRemainder);
      piece = {offset, size, false, std::vector<std::byte>(static_cast<std::size_t>(offset + size + kGuard), kUntouched),
               Buffer(offset + size + kGuard, *original->device), {}};
      std::memcpy(piece.bytes.data() + offset, pointer, static_cast<std::size_t>(size));
      if (come_late()) {
        const std::vector<std::byte> nothing(piece.bytes.size(), kUntouched);
        original->device->copy(piece.there.data(), nothing.data(), std::ssize(nothing), stream_);
        piece.source = Buffer(std::ssize(piece.bytes), *original->device);
      }
      const Buffer& first = come_late() ? piece.source : piece.there;
      original->device->copy(first.data(), piece.bytes.data(), std::ssize(piece.bytes), stream_);
    }
    RR_CHECK(piece.size == size, "an operand of ", piece.size, " bytes is another of ", size);
    piece.written = piece.written || !std::is_const_v<T>;
    pointer = reinterpret_cast<T*>(piece.there.data() + piece.offset);
  }

  OwnStream stream_;
  std::map<const void*, Piece> pieces_;  // by where they are on the host: one that is read and written is one
  std::vector<std::shared_ptr<void>> lists_;
};

// A call of the slot, its operands moved.
template <auto kSlot, class Args, class Move>
void call(Args args, Stream stream, Move move) {
  Mirror mirror(stream);
  move(mirror, args);
  mirror.bring_operands();
  (original->*kSlot)(args, mirror.stream());
  mirror.finish();
}

std::unique_ptr<PackedMatrix> pack_matrix(const MatrixSource& source, DType operand, Stream stream) {
  return original->pack_matrix(source, operand, Mirror(stream).stream());
}

void matmul(std::span<const MatmulArgs> products, Stream stream) {
  Mirror mirror(stream);
  std::vector<MatmulArgs> moved(products.begin(), products.end());
  for (MatmulArgs& a : moved) {
    const Index stride = a.x_stride == 0 ? a.w->cols() : a.x_stride;
    mirror.move(a.x, a.w->type(), a.M == 0 ? 0 : (a.M - 1) * stride + a.w->cols());
    mirror.move(a.y, a.y_type, a.M * a.w->rows());
  }
  mirror.bring_operands();
  original->matmul(moved, mirror.stream());
  mirror.finish();
}

void layer_norm(const LayerNormArgs& args, Stream stream) {
  call<&KernelTable::layer_norm>(args, stream, [](Mirror& to, LayerNormArgs& a) {
    to.move(a.x, a.M * a.D), to.move(a.weight, a.D), to.move(a.bias, a.D), to.move(a.y, a.y_type, a.M * a.D);
  });
}

void embed(const EmbedArgs& args, Stream stream) {
  call<&KernelTable::embed>(args, stream, [](Mirror& to, EmbedArgs& a) {
    to.move(a.ids, a.M), to.move(a.table, a.table_type, a.V * a.D), to.move(a.weight, a.D), to.move(a.bias, a.D), to.move(a.x, a.M * a.D);
  });
}

void shift_mix(const ShiftMixArgs& args, Stream stream) {
  call<&KernelTable::shift_mix>(args, stream, [](Mirror& to, ShiftMixArgs& a) {
    to.move(a.x, a.M * a.D), to.move(a.weight, a.D), to.move(a.bias, a.D);
    to.move_each(a.rows_in, a.segment_count, a.D), to.move_each(a.rows_out, a.segment_count, a.D);
    to.move_each(a.mu, a.mixes, a.D), to.move_each(a.out, a.mixes, a.out_type, a.M * a.D);
    to.move(a.normal, a.M * a.D), to.move(a.change, a.M * a.D);
  });
}

void dynamic_mix(const DynamicMixArgs& args, Stream stream) {
  call<&KernelTable::dynamic_mix>(args, stream, [](Mirror& to, DynamicMixArgs& a) {
    to.move(a.normal, a.M * a.D), to.move(a.change, a.M * a.D);
    to.move_each(a.mu, a.mixes, a.D), to.move_each(a.delta, a.mixes, a.M * a.D), to.move_each(a.out, a.mixes, a.out_type, a.M * a.D);
  });
}

void gate(const GateArgs& args, Stream stream) {
  call<&KernelTable::gate>(args, stream, [](Mirror& to, GateArgs& a) {
    to.move(a.a, a.M * a.D), to.move(a.b, a.M * a.D), to.move(a.bias, a.D), to.move(a.out, a.out_type, a.M * a.D);
  });
}

void gate_add(const GateAddArgs& args, Stream stream) {
  call<&KernelTable::gate_add>(args, stream, [](Mirror& to, GateAddArgs& a) {
    to.move(a.a, a.M * a.D), to.move(a.b, a.M * a.D), to.move(a.x, a.M * a.D);
  });
}

void token_matrix(const TokenMatrixArgs& args, Stream stream) {
  call<&KernelTable::token_matrix>(args, stream, [](Mirror& to, TokenMatrixArgs& a) {
    to.move(a.q, a.M * a.R), to.move(a.E, a.M * a.R * a.R), to.move(a.out, a.out_type, a.M * a.R);
  });
}

void wkv4(const Wkv4Args& args, Stream stream) {
  if (args.first_channel < 0 || args.first_channel + args.channels > args.D) return original->wkv4(args, stream);  // which refuses them
  call<&KernelTable::wkv4>(args, stream, [](Mirror& to, Wkv4Args& a) {
    to.move(a.k, a.M * a.D), to.move(a.v, a.M * a.D), to.move(a.w, a.D), to.move(a.u, a.D), to.move(a.y, a.M * a.D);
    to.move_each(a.state_in, a.segment_count, 3 * a.channels), to.move_each(a.state_out, a.segment_count, 3 * a.channels);
  });
}

void wkv6_decay(const Wkv6DecayArgs& args, Stream stream) {
  call<&KernelTable::wkv6_decay>(args, stream, [](Mirror& to, Wkv6DecayArgs& a) { to.move(a.w, a.M * a.D), to.move(a.w0, a.D); });
}

void wkv6(const Wkv6Args& args, Stream stream) {
  if (args.first_head < 0 || args.first_head + args.heads > args.H) return original->wkv6(args, stream);
  call<&KernelTable::wkv6>(args, stream, [](Mirror& to, Wkv6Args& a) {
    const Index D = a.H * a.N, state = a.heads * a.N * a.N;
    for (const float** operand : {&a.r, &a.k, &a.v}) to.move(*operand, a.M * D);
    to.move(a.w, a.w_stride == 0 ? D : a.M * D), to.move(a.u, D), to.move(a.y, a.M * D);
    to.move_each(a.state_in, a.segment_count, state), to.move_each(a.state_out, a.segment_count, state);
  });
}

void wkv6_readout(const Wkv6ReadoutArgs& args, Stream stream) {
  call<&KernelTable::wkv6_readout>(args, stream, [](Mirror& to, Wkv6ReadoutArgs& a) {
    const Index D = a.H * a.N;
    to.move(a.y, a.M * D), to.move(a.g, a.M * D), to.move(a.weight, D), to.move(a.bias, D), to.move(a.out, a.out_type, a.M * D);
  });
}

void wkv7_inputs(const Wkv7InputsArgs& args, Stream stream) {
  call<&KernelTable::wkv7_inputs>(args, stream, [](Mirror& to, Wkv7InputsArgs& a) {
    const Index D = a.H * a.N;
    for (float** rows : {&a.w, &a.k, &a.v, &a.a, &a.b}) to.move(*rows, a.M * D);
    for (const float** rows : {&a.v_mix, &a.v_first}) to.move(*rows, a.M * D);
    for (const float** row : {&a.w0, &a.a0, &a.v0, &a.k_k, &a.k_a}) to.move(*row, D);
  });
}

void wkv7(const Wkv7Args& args, Stream stream) {
  if (args.first_head < 0 || args.first_head + args.heads > args.H) return original->wkv7(args, stream);
  call<&KernelTable::wkv7>(args, stream, [](Mirror& to, Wkv7Args& a) {
    const Index D = a.H * a.N, state = a.heads * a.N * a.N;
    for (const float** operand : {&a.r, &a.w, &a.k, &a.v, &a.a, &a.b}) to.move(*operand, a.M * D);
    to.move(a.y, a.M * D);
    to.move_each(a.state_in, a.segment_count, state), to.move_each(a.state_out, a.segment_count, state);
  });
}

void wkv7_readout(const Wkv7ReadoutArgs& args, Stream stream) {
  call<&KernelTable::wkv7_readout>(args, stream, [](Mirror& to, Wkv7ReadoutArgs& a) {
    const Index D = a.H * a.N;
    for (const float** rows : {&a.y, &a.r, &a.k, &a.v, &a.g}) to.move(*rows, a.M * D);
    for (const float** row : {&a.r_k, &a.weight, &a.bias}) to.move(*row, D);
    to.move(a.out, a.out_type, a.M * D);
  });
}

void log_prob(const LogProbArgs& args, Stream stream) {
  call<&KernelTable::log_prob>(args, stream, [](Mirror& to, LogProbArgs& a) {
    to.move(a.logits, a.M * a.V), to.move(a.targets, a.M), to.move(a.out, a.M);
  });
}

void pick_largest(const PickLargestArgs& args, Stream stream) {
  call<&KernelTable::pick_largest>(args, stream, [](Mirror& to, PickLargestArgs& a) {
    const Index penalties = a.penalty_begin == nullptr ? 0 : a.penalty_begin[a.M];
    to.move(a.logits, a.M * a.V), to.move(a.banned, a.banned_count), to.move(a.penalty_begin, a.M + 1);
    to.move(a.penalised, penalties), to.move(a.penalties, penalties), to.move(a.out, a.M);
  });
}

void draw(const DrawArgs& args, Stream stream) {
  call<&KernelTable::draw>(args, stream, [](Mirror& to, DrawArgs& a) {
    to.move(a.logits, a.M * a.V), to.move(a.random, a.M), to.move(a.tokens, a.M);
  });
}

void sum_rows(const SumRowsArgs& args, Stream stream) {
  call<&KernelTable::sum_rows>(args, stream, [](Mirror& to, SumRowsArgs& a) { to.move(a.x, a.M * a.D), to.move(a.sum, a.D); });
}

}  // namespace

const KernelTable& mirrored(const KernelTable& table) {
  static const KernelTable kTable = [&table] {
    original = &table;
    table.device->require(0);
    KernelTable of = table;
    of.pack_matrix = pack_matrix, of.matmul = matmul, of.layer_norm = layer_norm, of.embed = embed, of.shift_mix = shift_mix;
    of.dynamic_mix = dynamic_mix, of.gate = gate, of.gate_add = gate_add, of.token_matrix = token_matrix, of.wkv4 = wkv4;
    of.wkv6_decay = wkv6_decay, of.wkv6 = wkv6, of.wkv6_readout = wkv6_readout, of.wkv7_inputs = wkv7_inputs, of.wkv7 = wkv7;
    of.wkv7_readout = wkv7_readout, of.log_prob = log_prob, of.pick_largest = pick_largest, of.draw = draw;
    of.sum_rows = sum_rows;
    return of;
  }();
  RR_CHECK(original == &table, "two tables mirrored in one process");
  return kTable;
}

}  // namespace riverrun::kernels
