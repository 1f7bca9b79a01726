#include "transport/nccl_transport.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "core/error.h"

namespace riverrun::transport {

namespace {
constexpr std::size_t kMostInGroup = 16;  // so that what other ranks wait for is not held up for long
}

Nccl::Nccl(const Options& options)
    : Mpi(options), device_(*options.device), out_(device_), in_(device_), coming_(static_cast<std::size_t>(size())) {}

template <class T>
std::optional<T> Nccl::take_first(Waiting<T>& waiting, Address address) {
  const auto found = waiting.find(address);
  if (found == waiting.end()) return {};
  const T first = found->second.front();
  found->second.pop_front();
  if (found->second.empty()) waiting.erase(found);
  return first;
}

// As last_ticket_.
Nccl::Message& Nccl::open(int peer, Index tag, std::byte* data, Index bytes) {
  check_address(*this, peer, tag);
  Message& message = open_.emplace(++last_ticket_, Message{{peer, tag}, data, bytes, {}}).first->second;
  if (bytes > 0 && !device_.reaches(data)) message.staging = Buffer(bytes, device_, Memory::shared);
  return message;
}

Ticket Nccl::post_receive(int peer, Index tag, std::span<std::byte> bytes) {
  open(peer, tag, bytes.data(), std::ssize(bytes)).receives = true;
  expected_[{peer, tag}].push_back(last_ticket_);
  post_note(peer, {NoteKind::ready, tag, std::ssize(bytes)});
  return last_ticket_;
}

Ticket Nccl::post_send(int peer, Index tag, std::span<const std::byte> bytes) {
  const Message& message = open(peer, tag, const_cast<std::byte*>(bytes.data()), std::ssize(bytes));  // which only a receive writes
  std::copy_n(message.data, message.staging.bytes(), message.staging.data());
  const Ticket ticket = last_ticket_;
  if (const auto wanted = take_first(wanted_, {peer, tag})) sendable_.push_back({ticket, *wanted});
  else unwanted_[{peer, tag}].push_back(ticket);
  move();
  return ticket;
}

bool Nccl::done(Ticket ticket) {
  move();
  const auto at = open_.find(ticket);
  RR_CHECK(at != open_.end(), "ticket ", ticket, " is not open");
  if (!at->second.through) return false;
  const Message message = std::move(at->second);
  open_.erase(at);
  if (message.got != message.bytes) throw_wrong_length(rank(), message.address.peer, message.address.tag, message.got, message.bytes);
  if (message.receives) std::copy_n(message.staging.data(), message.staging.bytes(), message.data);
  return true;
}

void Nccl::progress() {
  Mpi::progress();
  (void)settled();  // throws what NCCL has found
  move();
}

bool Nccl::settled() {
  bool all = true;
  for (auto* const pairs : {&sending_, &receiving_}) {
    for (auto& [peer, pair] : *pairs) all = pair.settled() && all;
  }
  return all;
}

void Nccl::see_through(const std::vector<NcclLane::Part>& group) {
  for (const auto& part : group) open_.at(part.ticket).through = true;
}

void Nccl::post_note(int peer, const Note& note) { notes_.post(peer, std::as_bytes(std::span(&note, 1))); }

void Nccl::move() {
  while (const auto came = notes_.take()) read_notes(came->first, came->second);
  see_through(out_.finished());
  see_through(in_.finished());
  start_incoming();
  start_outgoing();
  notes_.flush();
}

void Nccl::read_notes(int peer, std::span<const std::byte> notes) {
  const auto read = [&](auto& value) {
    RR_CHECK(notes.size() >= sizeof value, "a note of rank ", peer, " breaks off");
    std::memcpy(&value, notes.data(), sizeof value);
    notes = notes.subspan(sizeof value);
  };
  while (!notes.empty()) {
    Note note;
    ncclUniqueId id;
    read(note);
    switch (note.kind) {
      case NoteKind::ready: take_ready({peer, note.tag}, note.bytes); break;
      case NoteKind::connect:
        read(id);
        receiving_.try_emplace(peer, NcclPair::Role::receiver, peer, id, timeout());
        break;
      case NoteKind::go:
      case NoteKind::go_last: take_go({peer, note.tag}, note.bytes, note.kind == NoteKind::go_last); break;
    }
  }
}

void Nccl::take_ready(Address address, Index bytes) {
  if (const auto ticket = take_first(unwanted_, address)) sendable_.push_back({*ticket, bytes});
  else wanted_[address].push_back(bytes);
}

void Nccl::take_go(Address address, Index bytes, bool last) {
  const auto ticket = take_first(expected_, address);
  RR_CHECK(ticket, "rank ", address.peer, " sends what this rank does not expect");
  Message& message = open_.at(*ticket);
  message.got = bytes;
  auto& group = coming_[address.peer];
  if (bytes > 0 && bytes == message.bytes) group.push_back(message.part(*ticket));
  else message.through = true;
  if (last && !group.empty()) arrivals_.push_back({address.peer, std::exchange(group, {})});
}

NcclPair& Nccl::sending_pair(int peer) {
  const auto found = sending_.find(peer);
  if (found != sending_.end()) return found->second;
  ncclUniqueId id;
  check_nccl(nccl().get_unique_id(&id), "ncclGetUniqueId");
  post_note(peer, {NoteKind::connect});
  notes_.post(peer, std::as_bytes(std::span(&id, 1)));
  notes_.flush();
  return sending_.try_emplace(peer, NcclPair::Role::sender, peer, id, timeout()).first->second;
}

// The oldest message whose pair is connected, and others to the same rank.
void Nccl::start_outgoing() {
  if (!out_.free() || abandoning_) return;
  const auto peer_of = [this](const Sendable& sendable) { return open_.at(sendable.ticket).address.peer; };
  const auto first = std::ranges::find_if(sendable_, [&](const Sendable& sendable) { return sending_pair(peer_of(sendable)).settled(); });
  if (first == sendable_.end()) return;
  const int peer = peer_of(*first);
  std::vector<Sendable> taken;
  std::erase_if(sendable_, [&](const Sendable& sendable) {
    if (taken.size() == kMostInGroup || peer_of(sendable) != peer) return false;
    taken.push_back(sendable);
    return true;
  });
  std::vector<NcclLane::Part> group;
  for (const Sendable& sendable : taken) {
    Message& message = open_.at(sendable.ticket);
    message.got = message.bytes;
    post_note(peer, {&sendable == &taken.back() ? NoteKind::go_last : NoteKind::go, message.address.tag, message.bytes});
    // One of another length is the receiver's error; it has nothing to wait for.
    if (message.bytes > 0 && message.bytes == sendable.wanted) group.push_back(message.part(sendable.ticket));
    else message.through = true;
  }
  notes_.flush();
  if (!group.empty()) out_.start(sending_.at(peer), std::move(group));
}

void Nccl::start_incoming() {
  if (!in_.free() || arrivals_.empty()) return;
  NcclPair& pair = receiving_.at(arrivals_.front().peer);
  if (!pair.settled()) return;
  in_.start(pair, std::move(arrivals_.front().group));
  arrivals_.pop_front();
}

// What both sides know of comes through, the rest is forgotten: no group begins any more, and all notes have been read.
void Nccl::abandon(Clock::duration timeout) {
  abandoning_ = true;
  agree([this] {
    move();
    return out_.free() && notes_.all_received();
  }, "giving up what is under way", timeout);
  wait_until(*this, [this] {
    move();
    return notes_.all_taken() && arrivals_.empty() && in_.free();
  }, timeout, [] { return std::string("what was under way"); });
  open_.clear(), expected_.clear(), unwanted_.clear(), wanted_.clear(), sendable_.clear();
  abandoning_ = false;
}

}  // namespace riverrun::transport
