#include "ring/carry_desk.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "core/error.h"

namespace riverrun::ring {

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
  bool through = false;
  const auto done = [&] {
    send_written();
    return through = transport_.done(ticket);
  };
  // As long as this rank's own messages are still to be computed it is not idle.
  transport::wait_until(transport_, [&] { return done() || unwritten_.empty(); }, timeout_, what, idle_);
  if (!through) {
    waits_.begin();
    transport::wait_until(transport_, done, timeout_, what, idle_);
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
  if (plan_.blocks[block].next_rank == transport_.rank()) return;
  unwritten_.push_back({block, message, stream_.device->mark(stream_)});
  send_written();
}

void CarryDesk::send_written() {
  while (!unwritten_.empty() && (!unwritten_.front().mark || unwritten_.front().mark->reached())) {
    const Unwritten written = std::move(unwritten_.front());
    unwritten_.pop_front();
    send(written.block, written.message);
  }
}

void CarryDesk::send_written(Index most) {
  const auto few = [&] {
    send_written();
    return std::ssize(unwritten_) <= most;
  };
  if (few()) return;
  transport::wait_until(transport_, few, timeout_, [&] {
    return concat(layout_.describe(unwritten_.front().message), " to be computed by the GPU");
  }, idle_);
}

void CarryDesk::wait_for_stream() {
  const auto end = stream_.device->mark(stream_);
  const auto done = [&] {
    const bool reached = !end || end->reached();
    send_written();
    return reached;
  };
  if (!done()) transport::wait_until(transport_, done, timeout_, [] { return std::string("a block to be computed by the GPU"); }, idle_);
}

void CarryDesk::send(Index block, Index message) {
  const auto wait = waits_.pause();
  const auto begin = transport::Clock::now();
  const plan::Block& at = plan_.blocks[block];
  transport_.note_step();
  outgoing_->seal(message, at.edge_out, at.slices.front());
  const auto bytes = outgoing_->message(message);
  outgoing_tickets_[message] = transport_.post_send(at.next_rank, tag(at.edge_out, message), bytes);
  bytes_sent_ += static_cast<Index>(bytes.size());
  send_time_ += transport::Clock::now() - begin;
  waits_.resume(wait);
}

void CarryDesk::close_outgoing(Index block) {
  send_written(0);
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
