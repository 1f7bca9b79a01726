#include "ring/result_desk.h"

#include <algorithm>

#include "core/error.h"

namespace riverrun::ring {

namespace {
constexpr int kResultsAtATime = 256;
constexpr Index kResultBytesInFlight = Index{256} << 20;  // then a rank waits until rank 0 has taken some
}  // namespace

template <class Condition>
void ResultDesk::wait(Condition condition, const std::string& what, const std::function<void()>& idle) {
  if (condition()) return;
  waits_.begin();
  transport::wait_until(transport_, condition, job_.timeout, [&] { return what; }, [&] {
    take();
    if (idle) idle();
  });
  waits_.end();
}

void ResultDesk::post(std::vector<std::byte> bytes) {
  transport_.post_result(std::move(bytes));
  wait([&] { return transport_.results_in_flight() < kResultBytesInFlight; }, "rank 0 to take results");
}

void ResultDesk::take() {
  if (transport_.rank() != 0) return;
  // Not all at once: between two blocks of its own rank 0 should not write for minutes.
  for (int taken = 0; taken < kResultsAtATime; ++taken) {
    const auto bytes = transport_.take_result();
    if (bytes.empty()) return;
    take_one(bytes);
    transport_.note_step();
    transport_.progress();
  }
}

void ResultDesk::take_one(std::span<const std::byte> bytes) {
  switch (kind_of(bytes)) {
    case Message::result: {
      const double elapsed = std::chrono::duration<double>(transport::Clock::now() - begin_).count();
      ++results_taken_;
      job_.on_result(unpack(bytes), 1.0 - waits_.seconds() / std::max(1e-9, elapsed));
      return;
    }
    case Message::carry:
      RR_CHECK(job_.checkpoints.on_copy, "the copy of a carry came unasked");
      job_.checkpoints.on_copy(unpack_carry(bytes));
      return;
    case Message::word:
      ++words_;
      stop_said_ = unpack_word(bytes) || stop_said_;
      return;
  }
  RR_CHECK(false, "an unknown kind of message came to rank 0");
}

bool ResultDesk::meet(bool stop, const std::string& what, const std::function<void()>& idle) {
  // What one rank posts comes in order, so its word is the last.
  post(pack_word(stop));
  std::vector<std::byte> answer(1);
  if (transport_.rank() == 0) {
    wait([&] { return words_ == transport_.size(); }, what, idle);
    answer[0] = std::byte{stop_said_};
    words_ = 0, stop_said_ = false;
  }
  transport_.broadcast(answer, what, job_.timeout, idle);
  return answer.at(0) != std::byte{0};
}

}  // namespace riverrun::ring
