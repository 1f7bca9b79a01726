#include "ring/even_out.h"

#include <cstring>

#include "core/error.h"

namespace riverrun::ring {

namespace {

using transport::Transport;

// What one rank tells the others: how many items are stuck with it, and the size of each that it can give away.
using Offer = std::vector<Index>;

std::vector<std::byte> as_message(const Offer& offer) {
  const auto bytes = std::as_bytes(std::span(offer));
  return {bytes.begin(), bytes.end()};
}

// Every rank's offer, on every rank: the concatenation, each led by its length.
std::vector<Offer> share_offers(Transport& transport, const Offer& mine, transport::Clock::duration timeout) {
  std::vector<std::byte> bytes;
  for (const auto& offer : transport.gather(as_message(mine), "every rank to say what it has left", timeout)) {
    const Index size = static_cast<Index>(offer.size() / sizeof(Index));
    const auto length = std::as_bytes(std::span(&size, 1));
    bytes.insert(bytes.end(), length.begin(), length.end());
    bytes.insert(bytes.end(), offer.begin(), offer.end());
  }
  transport.broadcast(bytes, "what every rank has left", timeout);
  std::vector<Offer> offers;
  for (std::size_t at = 0; at < bytes.size();) {
    Index size = 0;
    RR_CHECK(bytes.size() - at >= sizeof size, "the ranks' offers came cut short");
    std::memcpy(&size, bytes.data() + at, sizeof size);
    at += sizeof size;
    RR_CHECK(size >= 1 && size <= static_cast<Index>((bytes.size() - at) / sizeof(Index)), "the ranks' offers came damaged");
    Offer& offer = offers.emplace_back(size);
    std::memcpy(offer.data(), bytes.data() + at, size * sizeof(Index));
    at += size * sizeof(Index);
  }
  RR_CHECK(std::ssize(offers) == transport.size(), "offers of ", offers.size(), " ranks");
  return offers;
}

struct Move {
  int from, to;
  Index item;  // of the giver's
};

// Takes from the end of the fullest rank for the emptiest, until they differ by one.
std::vector<Move> plan_moves(const std::vector<Offer>& offers) {
  std::vector<Index> total, free;
  for (const Offer& offer : offers) {
    free.push_back(std::ssize(offer) - 1);
    total.push_back(offer[0] + free.back());
  }
  std::vector<Move> moves;
  while (true) {
    int from = -1, to = 0;
    for (int rank = 0; rank < std::ssize(offers); ++rank) {
      if (free[rank] > 0 && (from < 0 || total[rank] > total[from])) from = rank;
      if (total[rank] < total[to]) to = rank;
    }
    if (from < 0 || total[from] - total[to] <= 1) return moves;
    moves.push_back({from, to, --free[from]});
    --total[from], ++total[to];
  }
}

}  // namespace

Items even_out(Transport& transport, Items items, Index busy, transport::Clock::duration timeout) {
  Offer mine = {busy};
  for (const auto& item : items) mine.push_back(std::ssize(item));
  const auto offers = share_offers(transport, mine, timeout);
  const auto moves = plan_moves(offers);
  std::vector<transport::Ticket> tickets;
  Items sent;
  // A rank that gives gets nothing, so an item's number is that of the giver's offer throughout.
  items.reserve(items.size() + moves.size());
  for (std::size_t m = 0; m < moves.size(); ++m) {
    const Index tag = static_cast<Index>(m) % transport.most_tag();
    if (moves[m].to == transport.rank()) {
      items.emplace_back(static_cast<std::size_t>(offers[moves[m].from][moves[m].item + 1]));
      tickets.push_back(transport.post_receive(moves[m].from, tag, items.back()));
    } else if (moves[m].from == transport.rank()) {
      sent.push_back(std::move(items.back()));
      items.pop_back();
      tickets.push_back(transport.post_send(moves[m].to, tag, sent.back()));
    }
  }
  for (const transport::Ticket ticket : tickets) {
    transport::wait_until(transport, [&] { return transport.done(ticket); }, timeout,
                          [] { return std::string("another rank to hand over or take a state"); });
    transport.note_step();
  }
  return items;
}

}  // namespace riverrun::ring
