// What durability rests on: a process killed at any moment leaves a file that opens, in which every document
// marked done is right, and which a second run completes to the bytes of a run that nobody disturbed.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <random>
#include <thread>
#include <utility>

#include "output/reader.h"
#include "output/writer.h"
#include "sample.h"

namespace riverrun::output {
namespace {

using namespace testing;

constexpr Index kDocuments = 120;
constexpr Index kWidth = 512;

FileSpec crash_spec() {
  FileSpec spec;
  spec.job = "embed";
  for (Index i = 0; i < kDocuments; ++i) {
    spec.ids.push_back(concat("document ", i));
    spec.tokens.push_back(i % 9);
    spec.bytes.push_back(3 * i);
  }
  spec.embedding_width = kWidth;
  spec.scores = true;
  return spec;
}

std::vector<float> values(Index document, Index count, float step) {
  std::vector<float> row(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < row.size(); ++i)
    row[i] = 1.0f + static_cast<float>(document) + step * static_cast<float>(i);
  return row;
}

// The job: starts or resumes, in an order of its own, with a group commit every few documents. Calls step() before all that
// it does.
template <class Step>
void run(const std::string& path, Step step) {
  step();
  if (!std::filesystem::exists(path)) Writer::create(path, crash_spec());
  step();
  Writer writer(path);
  const auto offsets = score_offsets(crash_spec().tokens);
  for (Index number = 0; number < kDocuments; ++number) {
    const Index document = number * 77 % kDocuments;
    step();
    if (writer.status()[document] != Status::pending) continue;
    if (document % 10 == 3) {
      writer.mark_failed(document, concat("trouble with ", document));
    } else {
      writer.write_embedding(document, values(document, kWidth, 0.5f));
      writer.write_scores(offsets[document], values(document, document % 9, -0.5f));
      writer.mark_done(document);
    }
    if (number % 6 == 5) writer.commit();
  }
  step();
  writer.finish();
}
constexpr Index kSteps = kDocuments + 3;

void run(const std::string& path) {
  run(path, [] {});
}

// Returns how many documents are marked, after checking each.
Index check_marked_rows(const std::string& path) {
  const Reader reader(path);
  EXPECT_EQ(reader.ids(), crash_spec().ids);
  const auto offsets = score_offsets(reader.tokens());
  const auto status = reader.status();
  const auto errors = reader.errors();
  Index marked = 0;
  for (Index i = 0; i < kDocuments; ++i) {
    if (status[i] == Status::done) {
      EXPECT_EQ(reader.floats("/embeddings", i, 1), values(i, kWidth, 0.5f)) << i;
      EXPECT_EQ(reader.floats("/scores/logprob", offsets[i], i % 9), values(i, i % 9, -0.5f)) << i;
    }
    if (status[i] == Status::failed) {
      EXPECT_EQ(errors[i], concat("trouble with ", i));
    }
    marked += status[i] != Status::pending;
  }
  EXPECT_TRUE(!reader.complete() || marked == kDocuments);
  return marked;
}

struct Pipe {
  Pipe() { EXPECT_EQ(::pipe(ends), 0); }
  ~Pipe() {
    ::close(ends[0]);
    close_writing();
  }
  void close_writing() {
    if (ends[1] >= 0) ::close(std::exchange(ends[1], -1));
  }
  bool write() const { return ::write(ends[1], "", 1) == 1; }
  bool read() const {
    char byte;
    return ::read(ends[0], &byte, 1) == 1;
  }
  int ends[2] = {-1, -1};
};

// Runs the job in a child process that is killed `time` after the beginning of a step. However late that happens, the child has
// not come far beyond it, for it needs a permit for every step.
void kill_at(Index step, std::chrono::microseconds time, const std::string& path) {
  constexpr Index kAhead = 7;  // more than from one commit to the next
  Pipe permits, begun;
  for (Index i = 0; i < step + kAhead; ++i) ASSERT_TRUE(permits.write());
  const pid_t child = ::fork();
  if (child == 0) {
    run(path, [&] {
      if (!permits.read() || !begun.write()) ::_exit(1);
    });
    ::_exit(0);
  }
  begun.close_writing();
  for (Index i = 0; i < step; ++i) ASSERT_TRUE(begun.read());
  std::this_thread::sleep_for(time);
  ::kill(child, SIGKILL);
  int status = -1;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0) << status;
}

TEST(Crash, AKillAtAnyMomentLosesNothingThatWasMarked) {
  const TemporaryFolder folder;
  const std::string undisturbed = folder.path("undisturbed.h5");
  run(undisturbed);
  ASSERT_EQ(check_marked_rows(undisturbed), kDocuments);
  const std::string expected = read_file(undisturbed);

  std::mt19937_64 random(20250101);
  std::uniform_int_distribution<Index> step(0, kSteps), microseconds(0, 1000);
  Index midway = 0;
  for (int trial = 0; trial < 30; ++trial) {
    const std::string path = folder.path(concat("trial", trial, ".h5"));
    for (int life = 0; life < 2; ++life) {  // the resumed run is killed too
      kill_at(step(random), std::chrono::microseconds(microseconds(random)), path);
      if (!std::filesystem::exists(path)) continue;  // killed before the rename: as if never started
      const Index marked = check_marked_rows(path);
      midway += marked > 0 && marked < kDocuments;
    }
    run(path);
    ASSERT_TRUE(read_file(path) == expected) << "trial " << trial;
    EXPECT_FALSE(std::filesystem::exists(path + ".creating"));
    std::filesystem::remove(path);
  }
  EXPECT_GE(midway, 30);  // half of them: else this test did not test anything
}

}  // namespace
}  // namespace riverrun::output
