// What durability rests on: a process killed at any moment leaves a file that opens, in which every document
// marked done is right, and which a second run completes to the bytes of a run that nobody disturbed.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>

#include <chrono>
#include <random>
#include <thread>

#include "output/reader.h"
#include "output/writer.h"
#include "sample.h"

namespace riverrun::output {
namespace {

using namespace testing;
using Clock = std::chrono::steady_clock;

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

// The job: starts or resumes, in an order of its own, with a group commit every few documents.
void run(const std::string& path) {
  if (!std::filesystem::exists(path)) Writer::create(path, crash_spec());
  Writer writer(path);
  const auto offsets = score_offsets(crash_spec().tokens);
  for (Index step = 0; step < kDocuments; ++step) {
    const Index document = step * 77 % kDocuments;
    if (writer.status()[document] != Status::pending) continue;
    if (document % 10 == 3) {
      writer.mark_failed(document, concat("trouble with ", document));
    } else {
      writer.write_embedding(document, values(document, kWidth, 0.5f));
      writer.write_scores(offsets[document], values(document, document % 9, -0.5f));
      writer.mark_done(document);
    }
    if (step % 6 == 5) writer.commit();
  }
  writer.finish();
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

// Runs the job in a child process that is killed after `time`; true when the kill came before its end.
bool killed_after(std::chrono::microseconds time, const std::string& path) {
  const pid_t child = ::fork();
  if (child == 0) {
    run(path);
    ::_exit(0);
  }
  std::this_thread::sleep_for(time);
  ::kill(child, SIGKILL);
  int status = -1;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
  return WIFSIGNALED(status);
}

TEST(Crash, AKillAtAnyMomentLosesNothingThatWasMarked) {
  const TemporaryFolder folder;
  const std::string undisturbed = folder.file("undisturbed.h5");
  const auto start = Clock::now();
  run(undisturbed);
  const auto whole = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - start);
  ASSERT_EQ(check_marked_rows(undisturbed), kDocuments);
  const std::string expected = file_bytes(undisturbed);

  std::mt19937_64 random(20250101);
  std::uniform_int_distribution<Index> moment(0, whole.count());
  Index kills = 0, midway = 0;
  for (int trial = 0; trial < 30; ++trial) {
    const std::string path = folder.file(concat("trial", trial, ".h5"));
    for (int life = 0; life < 2; ++life) {  // the resumed run is killed too
      kills += killed_after(std::chrono::microseconds(moment(random)), path);
      if (!std::filesystem::exists(path)) continue;  // killed before the rename: as if never started
      const Index marked = check_marked_rows(path);
      midway += marked > 0 && marked < kDocuments;
    }
    run(path);
    ASSERT_TRUE(file_bytes(path) == expected) << "trial " << trial;
    EXPECT_FALSE(std::filesystem::exists(path + ".creating"));
    std::filesystem::remove(path);
  }
  EXPECT_GE(kills, 10);
  EXPECT_GE(midway, 3);  // else this test did not test anything
}

}  // namespace
}  // namespace riverrun::output
