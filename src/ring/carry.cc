#include "ring/carry.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <numeric>
#include <utility>

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
  const Index layer = message / (groups_ + 2), kind = message % (groups_ + 2);
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

CarryDesk::CarryDesk(const plan::Plan& plan, const CarryLayout& layout, transport::Transport& transport,
                     Stream stream, transport::Clock::duration timeout, Index carries_in_flight, WaitClock& waits,
                     std::function<void()> idle, Restart restart)
    : plan_(plan), layout_(layout), transport_(transport), stream_(stream), timeout_(timeout), carries_in_flight_(carries_in_flight),
      waits_(waits), idle_(std::move(idle)), edge_window_(std::max<Index>(1, transport.most_tag() / layout.messages())),
      restart_(std::move(restart)) {
  RR_CHECK(transport.most_tag() >= layout.messages(), "the transport has too few tags (", transport.most_tag(), ") for ",
           layout.messages(), " messages");
}

CarryDesk::Buffer CarryDesk::take_buffer() {
  if (free_.empty()) return std::make_shared<Carry>(layout_, *stream_.device);
  auto carry = std::move(free_.back());
  free_.pop_back();
  return carry;
}

// The latest carry may still be on its way, or be read here: its last holder gives it back.
void CarryDesk::give_back(Buffer buffer) {
  if (buffer && buffer.use_count() == 1) free_.push_back(std::move(buffer));
}

Index CarryDesk::arrival_key(Index block) const {
  const Index edge = plan_.blocks[block].edge_in;
  return edge >= 0 ? edge : -1 - block;
}

Index CarryDesk::tag(Index edge, Index message) const { return edge % edge_window_ * layout_.messages() + message; }

void CarryDesk::wait_for(transport::Ticket& ticket, const std::function<std::string()>& what) {
  if (ticket == 0) return;
  if (!transport_.done(ticket)) {
    waits_.begin();
    transport::wait_until(transport_, [&] { return transport_.done(ticket); }, timeout_, what, idle_);
    waits_.end();
  }
  ticket = 0;
}

void CarryDesk::expect(Index block) {
  const plan::Block& at = plan_.blocks[block];
  if (at.edge_in < 0 || at.previous_rank == transport_.rank() || arrivals_.count(at.edge_in)) return;
  Arrival arrival{take_buffer(), std::vector<transport::Ticket>(layout_.messages(), 0), -1};
  for (Index message = 0; message < layout_.messages(); ++message) {
    if (layout_.payload_bytes(message) == 0) continue;
    arrival.tickets[message] = transport_.post_receive(at.previous_rank, tag(at.edge_in, message), arrival.carry->message(message));
  }
  arrivals_.emplace(at.edge_in, std::move(arrival));
}

const Carry* CarryDesk::open_incoming(Index block) {
  const plan::Block& at = plan_.blocks[block];
  const plan::Slice& first = at.slices.front();
  if (at.edge_in < 0) {
    if (first.first_token == 0) return nullptr;
    RR_CHECK(restart_, "document ", first.document, " goes on from token ", first.first_token, ", and nothing says from where");
    const Buffer carry = take_buffer();
    carry->load(restart_(first.document, first.first_token));
    return arrivals_.emplace(arrival_key(block), Arrival{carry, {}, -1}).first->second.carry.get();
  }
  expect(block);
  const auto found = arrivals_.find(at.edge_in);
  RR_CHECK(found != arrivals_.end(), "block ", block, " continues block ", at.previous, ", which this rank has not computed");
  return found->second.carry.get();
}

void CarryDesk::await(Index block, Index message) {
  const plan::Block& at = plan_.blocks[block];
  Arrival& arrival = arrivals_.at(arrival_key(block));
  if (arrival.tickets.empty()) return;
  const plan::Slice& from = plan_.blocks[at.previous].slices.front();
  wait_for(arrival.tickets[message], [&] {
    return concat(layout_.describe(message), " of document ", from.document, ", tokens ", from.first_token, " to ",
                  from.first_token + from.tokens - 1, ", from rank ", at.previous_rank);
  });
  arrival.carry->verify(message, at.edge_in, from);
}

void CarryDesk::close_incoming(Index block) {
  const auto found = arrivals_.find(arrival_key(block));
  for (const auto ticket : found->second.tickets) RR_CHECK(ticket == 0, "block ", block, " is over before all of its carry was read");
  give_back(std::move(found->second.carry));
  arrivals_.erase(found);
}

Carry* CarryDesk::open_outgoing(Index block) {
  const plan::Block& at = plan_.blocks[block];
  if (at.edge_out < 0) return nullptr;
  if (at.next_rank != transport_.rank()) {
    wait_for_departures(carries_in_flight_ - 1);
    outgoing_tickets_.assign(layout_.messages(), 0);
  }
  outgoing_ = take_buffer();
  return outgoing_.get();
}

void CarryDesk::ready(Index block, Index message) {
  const plan::Block& at = plan_.blocks[block];
  if (at.next_rank == transport_.rank()) return;
  stream_.synchronize();
  outgoing_->seal(message, at.edge_out, at.slices.front());
  const auto bytes = outgoing_->message(message);
  outgoing_tickets_[message] = transport_.post_send(at.next_rank, tag(at.edge_out, message), bytes);
  bytes_sent_ += static_cast<Index>(bytes.size());
}

void CarryDesk::close_outgoing(Index block) {
  const plan::Block& at = plan_.blocks[block];
  give_back(std::exchange(latest_, {outgoing_, block}).carry);
  if (at.next_rank == transport_.rank()) {
    arrivals_.emplace(at.edge_out, Arrival{std::move(outgoing_), {}, block});
  } else {
    departures_.push_back({std::move(outgoing_), std::move(outgoing_tickets_), block});
  }
}

bool CarryDesk::retire_arrived() {
  const auto before = departures_.size();
  std::erase_if(departures_, [this](Departure& departure) {
    for (auto& ticket : departure.tickets) {
      if (ticket != 0 && !transport_.done(ticket)) return false;
      ticket = 0;
    }
    give_back(std::move(departure.carry));
    return true;
  });
  return departures_.size() < before;
}

// Any of them will do: to insist on the oldest could wait for a rank that waits for this one (docs/ring.md).
void CarryDesk::wait_for_departures(Index most) {
  const auto few = [&] {
    retire_arrived();
    return std::ssize(departures_) <= most;
  };
  if (few()) return;
  waits_.begin();
  transport::wait_until(transport_, few, timeout_, [&] {
    const plan::Block& at = plan_.blocks[departures_.front().block];
    return concat("rank ", at.next_rank, " to take the carry of document ", at.slices.front().document, ", tokens ",
                  at.slices.front().first_token, " to ", at.slices.front().first_token + at.tokens - 1, ", or another of ",
                  departures_.size());
  }, idle_);
  waits_.end();
}

void CarryDesk::drain() { wait_for_departures(0); }

}  // namespace riverrun::ring
