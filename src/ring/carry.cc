#include "ring/carry.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "core/crc32c.h"
#include "core/error.h"

namespace riverrun::ring {

namespace {

constexpr std::uint32_t kMagic = 0x72727631;  // "rrv1"
constexpr Index kAlign = 64;

// What stands before every payload. 64 bytes, so that payloads stay aligned.
struct Header {
  std::uint32_t magic;
  std::uint32_t crc;       // of the payload
  Index document, first_token, edge, message, payload_bytes;
  std::uint32_t reserved[3];
  std::uint32_t own_crc;   // of this header up to here
};
static_assert(sizeof(Header) == kAlign);

std::uint32_t header_crc(const Header& header) {
  return crc32c(std::as_bytes(std::span(&header, 1)).first(offsetof(Header, own_crc)));
}

// Enough groups to start the neighbour early, not so many that headers and waits cost more than they save.
Index count_groups(Index parts, DeviceKind device) { return device == DeviceKind::cpu ? std::clamp<Index>(parts / 4, 1, 8) : 1; }

}  // namespace

CarryLayout::CarryLayout(const model::StateShape& state, Index sums, DeviceKind device)
    : state_(state), groups_(count_groups(state.parts, device)) {
  const auto add = [&](Index bytes) {
    payloads_.push_back(bytes);
    const Index padded = (bytes + kAlign - 1) / kAlign * kAlign;
    offsets_.push_back(offsets_.back() + Index{sizeof(Header)} + padded);
  };
  offsets_.push_back(0);
  for (Index layer = 0; layer < state.layers; ++layer) {
    for (Index group = 0; group < groups_; ++group) add(parts(group) * state.part_floats * Index{sizeof(float)});
    add(layer == 0 ? 0 : state.row_floats * Index{sizeof(float)});
    add(state.row_floats * Index{sizeof(float)});
  }
  if (sums > 0) add(sums * Index{sizeof(double)});
}

Index CarryLayout::stored_bytes() const { return std::accumulate(payloads_.begin(), payloads_.end(), Index{0}); }

std::string CarryLayout::describe(Index message) const {
  const Index layer = message / messages_of_layer(), kind = message % messages_of_layer();
  if (layer == state_.layers) return "the running sums";
  if (kind == groups_) return concat("the time-mix row of layer ", layer);
  if (kind == groups_ + 1) return concat("the channel-mix row of layer ", layer);
  return concat("the state of layer ", layer, ", parts ", first_part(kind), " to ", first_part(kind + 1) - 1);
}

float* Carry::floats(Index message) const {
  return reinterpret_cast<float*>(memory_.data() + layout_.offset(message) + sizeof(Header));
}

double* Carry::sums() const {
  return reinterpret_cast<double*>(memory_.data() + layout_.offset(layout_.sums()) + sizeof(Header));
}

void Carry::copy_to(model::State& state) const {
  const auto copy = [this](Index message, float* to) {
    std::memcpy(to, floats(message), static_cast<std::size_t>(layout_.payload_bytes(message)));
  };
  for (Index layer = 0; layer < state.shape().layers; ++layer) {
    for (Index group = 0; group < layout_.groups(); ++group) {
      copy(layout_.state(layer, group), state.parts(layer) + layout_.first_part(group) * state.shape().part_floats);
    }
    if (layer > 0) copy(layout_.time_row(layer), state.time_row(layer));
    copy(layout_.channel_row(layer), state.channel_row(layer));
  }
}

std::vector<std::byte> Carry::store() const {
  std::vector<std::byte> bytes;
  bytes.reserve(static_cast<std::size_t>(layout_.stored_bytes()));
  for (Index message = 0; message < layout_.messages(); ++message) {
    const auto payload = this->message(message).subspan(sizeof(Header));
    bytes.insert(bytes.end(), payload.begin(), payload.end());
  }
  return bytes;
}

void Carry::load(std::span<const std::byte> bytes) {
  RR_CHECK(std::ssize(bytes) == layout_.stored_bytes(), "a stored carry of ", bytes.size(), " bytes where ", layout_.stored_bytes(),
           " were expected");
  for (Index message = 0; message < layout_.messages(); ++message) {
    const auto payload = this->message(message).subspan(sizeof(Header));
    std::ranges::copy(bytes.first(payload.size()), payload.begin());
    bytes = bytes.subspan(payload.size());
  }
}

std::span<std::byte> Carry::message(Index message) const {
  return {memory_.data() + layout_.offset(message), sizeof(Header) + static_cast<std::size_t>(layout_.payload_bytes(message))};
}

void Carry::seal(Index message, Index edge, const plan::Slice& from) const {
  const auto payload = this->message(message).subspan(sizeof(Header));
  Header header{kMagic, crc32c(payload), from.document, from.first_token, edge, message, static_cast<Index>(payload.size()), {}, 0};
  header.own_crc = header_crc(header);
  std::memcpy(this->message(message).data(), &header, sizeof header);
}

void Carry::verify(Index message, Index edge, const plan::Slice& from) const {
  Header header;
  std::memcpy(&header, this->message(message).data(), sizeof header);
  const auto payload = this->message(message).subspan(sizeof(Header));
  RR_CHECK(header.magic == kMagic && header.own_crc == header_crc(header), "damaged header on ", layout_.describe(message),
           " of document ", from.document, " after token ", from.first_token + from.tokens);
  RR_CHECK(header.document == from.document && header.first_token == from.first_token && header.edge == edge &&
               header.message == message && header.payload_bytes == static_cast<Index>(payload.size()),
           "expected ", layout_.describe(message), " (document ", from.document, ", slice at ", from.first_token, ", edge ", edge,
           ") but received message ", header.message, " (document ", header.document, ", slice at ", header.first_token, ", edge ",
           header.edge, ")");
  RR_CHECK(header.crc == crc32c(payload), "checksum mismatch in ", layout_.describe(message), " of document ", from.document,
           ": the bytes were damaged on the way");
}

}  // namespace riverrun::ring
