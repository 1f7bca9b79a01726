// A checkpoint is used when it is whole and of this run, and named and left alone otherwise.

#include "jobs/run/checkpoint_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "core/crc32c.h"
#include "core/error.h"
#include "core/log.h"
#include "jobs/run/checkpoints.h"

namespace riverrun::jobs {
namespace {

namespace fs = std::filesystem;
constexpr const char* kIdentity = "job=embed\nmodel_sha256=abc\ncreated=2026\n";

class CheckpointFileTest : public testing::Test {
 protected:
  void SetUp() override { std::ofstream(output_) << "rows"; }
  void TearDown() override {
    fs::remove_all(folder_.path());
    fs::remove(output_);
  }
  static ring::CarryCopy copy_at(Index token) {
    ring::CarryCopy copy{7, token, 0, std::vector<std::byte>(1000, std::byte(token))};
    copy.crc = crc32c(copy.bytes);
    return copy;
  }
  // The warnings; `found` is what is found.
  std::string find(const std::string& identity, Index& found) const {
    testing::internal::CaptureStderr();
    found = folder_.find(document_, identity).next_token;
    return testing::internal::GetCapturedStderr();
  }
  Index furthest() const { return folder_.find(document_, kIdentity).next_token; }
  // Flips one bit of a file.
  void damage(const std::string& name, Index at) const {
    std::fstream file(folder_.path() + "/" + name, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(at);
    const int byte = file.get();
    file.seekp(at);
    file.put(static_cast<char>(byte ^ 4));
  }

  const std::string output_ = concat("checkpoint_file_", ::getpid(), ".h5");
  CheckpointFolder folder_{output_};
  const CheckpointFolder::Document document_{7, "moby", 1000};
};

TEST_F(CheckpointFileTest, TheNewerOfTwoIsFoundAndReadBack) {
  Index found = -1;
  EXPECT_EQ(find(kIdentity, found), "");
  EXPECT_EQ(found, 0);
  std::vector<CheckpointFolder::Place> places;
  for (const Index token : {64, 128, 192, 256}) {
    folder_.write(document_, kIdentity, copy_at(token));
    EXPECT_EQ(find(kIdentity, found), "");
    EXPECT_EQ(found, token);
    places.push_back(folder_.find(document_, kIdentity));
    EXPECT_EQ(folder_.read(7, places.back()), copy_at(token).bytes);
    if (token == 64) continue;
    EXPECT_EQ(folder_.read(7, *(places.end() - 2)), copy_at(token - 64).bytes) << "the one before stays";
  }
  EXPECT_THROW(folder_.read(7, places.front()), Error);
  EXPECT_EQ(folder_.documents(), std::set<Index>{7});
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_.path()), {}), 2);
}

TEST_F(CheckpointFileTest, EveryFlippedBitIsNamedAndTheOlderOneUsed) {
  folder_.write(document_, kIdentity, copy_at(64));
  folder_.write(document_, kIdentity, copy_at(128));
  const std::string newer = folder_.path() + "/7.1";
  const auto size = static_cast<Index>(fs::file_size(newer));
  for (Index at = 0; at < size; at += 13) {
    damage("7.1", at);
    Index found = -1;
    EXPECT_NE(find(kIdentity, found).find(newer), std::string::npos) << at;
    EXPECT_EQ(found, 64);
    damage("7.1", at);
  }
  for (Index cut = 0; cut < size; cut += 97) {
    fs::copy_file(newer, "whole", fs::copy_options::overwrite_existing);
    fs::resize_file(newer, static_cast<std::uintmax_t>(cut));
    Index found = -1;
    EXPECT_NE(find(kIdentity, found).find(newer), std::string::npos) << cut;
    EXPECT_EQ(found, 64);
    fs::rename("whole", newer);
  }
  // A new one takes the place of the damaged one: the older one may be all that there is, until then.
  for (const Index at : {20, 200}) {  // in the header, in the carry
    damage("7.1", at);
    folder_.write(document_, kIdentity, copy_at(128));
    Index found = -1;
    EXPECT_EQ(find(kIdentity, found), "");
    EXPECT_EQ(found, 128);
    fs::remove(newer);
    EXPECT_EQ(find(kIdentity, found), "");
    EXPECT_EQ(found, 64) << "the older one was replaced";
    folder_.write(document_, kIdentity, copy_at(128));
  }
}

TEST_F(CheckpointFileTest, AnotherRunsOrDocumentsIsNamedAndNotUsed) {
  folder_.write(document_, kIdentity, copy_at(64));
  Index found = -1;
  EXPECT_NE(find("job=embed\nmodel_sha256=abd\ncreated=2026\n", found).find("model_sha256 differs"), std::string::npos);
  EXPECT_EQ(found, 0);
  fs::rename(folder_.path() + "/7.0", folder_.path() + "/8.0");
  EXPECT_EQ(folder_.find({8, "moby", 1000}, kIdentity).next_token, 0);
  fs::rename(folder_.path() + "/8.0", folder_.path() + "/7.0");
  EXPECT_EQ(folder_.find({7, "dick", 1000}, kIdentity).next_token, 0);
  EXPECT_EQ(folder_.find({7, "moby", 1001}, kIdentity).next_token, 0);
  EXPECT_EQ(furthest(), 64);
}

// Other ranks know of a checkpoint what rank 0 tells them: a whole file of that document and token is not enough.
TEST_F(CheckpointFileTest, OnlyTheVeryFileThatWasFoundIsRead) {
  folder_.write(document_, kIdentity, copy_at(64));
  const CheckpointFolder::Place place = folder_.find(document_, kIdentity);
  EXPECT_EQ(folder_.read(7, place), copy_at(64).bytes);
  const auto replaced_by = [&](const CheckpointFolder::Document& document, const std::string& identity, ring::CarryCopy copy) {
    folder_.remove(7);
    folder_.write(document, identity, copy);
    EXPECT_EQ(folder_.find(document, identity).next_token, 64) << "it is whole";
    EXPECT_THROW(folder_.read(7, place), Error);
  };
  replaced_by(document_, "job=embed\n", copy_at(64));
  replaced_by({7, "dick", 1000}, kIdentity, copy_at(64));
  replaced_by({7, "moby", 1001}, kIdentity, copy_at(64));
  ring::CarryCopy other = copy_at(64);
  other.bytes.back() ^= std::byte{1};
  other.crc = crc32c(other.bytes);
  replaced_by(document_, kIdentity, other);
  folder_.remove(7);
  folder_.write(document_, kIdentity, copy_at(64));
  EXPECT_EQ(folder_.read(7, place), copy_at(64).bytes);
}

TEST_F(CheckpointFileTest, WhatIsNotOursStays) {
  folder_.write(document_, kIdentity, copy_at(64));
  std::ofstream(folder_.path() + "/notes.txt") << "mine";
  folder_.remove_all();
  EXPECT_TRUE(fs::exists(folder_.path() + "/notes.txt"));
  EXPECT_FALSE(fs::exists(folder_.path() + "/7.0"));
  fs::remove(folder_.path() + "/notes.txt");
  folder_.remove_all();
  EXPECT_FALSE(fs::exists(folder_.path()));
}

TEST_F(CheckpointFileTest, ACarryWaitsForAllResultsBeforeIt) {
  Checkpoints checkpoints(output_, kIdentity, [&](Index) { return document_; });
  checkpoints.take(copy_at(128));
  checkpoints.take(copy_at(64));
  checkpoints.reached(7, 63);
  checkpoints.flush();
  EXPECT_EQ(furthest(), 0);
  checkpoints.reached(7, 127);
  checkpoints.flush();
  EXPECT_EQ(furthest(), 64);
  checkpoints.reached(7, 200);
  checkpoints.take(copy_at(192));  // its results are there already
  checkpoints.take(copy_at(64));   // an older one changes nothing
  checkpoints.flush();
  EXPECT_EQ(furthest(), 192);
  EXPECT_EQ(checkpoints.documents(), std::set<Index>{7});
  checkpoints.drop(7);
  checkpoints.flush();
  EXPECT_EQ(furthest(), 0);
  EXPECT_TRUE(checkpoints.documents().empty());
}

TEST_F(CheckpointFileTest, ADocumentThatIsDoneGetsNoCheckpointsAnyMore) {
  Checkpoints checkpoints(output_, kIdentity, [&](Index) { return document_; });
  for (const bool had_one : {true, false}) {
    const Index document = had_one ? 7 : 70;
    const auto copy = [&](Index token) {
      ring::CarryCopy its = copy_at(token);
      its.document = document;
      return its;
    };
    if (had_one) checkpoints.take(copy(64));
    checkpoints.reached(document, 100);
    EXPECT_EQ(checkpoints.has(document), had_one);
    checkpoints.drop(document);
    for (const Index token : {64, 96, 128}) checkpoints.take(copy(token));  // from a rank that knows nothing of it
    checkpoints.flush();
    EXPECT_TRUE(folder_.documents().empty());
    EXPECT_FALSE(checkpoints.has(document));
  }
}

// Its last carry from before the trouble stays good, until the document is marked.
TEST_F(CheckpointFileTest, ADocumentThatHasFailedKeepsItsCheckpointAndGetsNoOther) {
  Checkpoints checkpoints(output_, kIdentity, [&](Index) { return document_; });
  checkpoints.take(copy_at(64));
  checkpoints.reached(7, 64);
  checkpoints.take(copy_at(128));
  checkpoints.close(7);
  checkpoints.take(copy_at(192));
  checkpoints.flush();
  EXPECT_EQ(furthest(), 64);
  EXPECT_TRUE(checkpoints.has(7));
  checkpoints.drop(7);
  checkpoints.flush();
  EXPECT_TRUE(folder_.documents().empty());
}

// Carries of documents that have failed must not fill the memory that the others' carries need.
TEST_F(CheckpointFileTest, CarriesOfClosedDocumentsTakeNoRoom) {
  const auto description = [&](Index d) { return CheckpointFolder::Document{d, "moby", 1000}; };
  Checkpoints checkpoints(output_, kIdentity, description);
  constexpr std::size_t kMiB = std::size_t{1} << 20;
  constexpr Index kClosed = 17;
  for (Index document = 0; document < kClosed; ++document) {  // more than 1 GiB of either kind, 64 MiB at a time
    checkpoints.take({document, 64, 0, std::vector<std::byte>(64 * kMiB)});
    checkpoints.close(document);
    checkpoints.take({document, 128, 0, std::vector<std::byte>(64 * kMiB)});
  }
  checkpoints.take({kClosed, 64, 0, std::vector<std::byte>(64)});
  checkpoints.reached(kClosed, 64);
  checkpoints.flush();
  EXPECT_EQ(checkpoints.documents(), std::set<Index>{kClosed});
}

TEST_F(CheckpointFileTest, FilesGoWhenTheMarkIsOnTheDisk) {
  Checkpoints checkpoints(output_, kIdentity, [&](Index) { return document_; });
  checkpoints.take(copy_at(64));
  checkpoints.reached(7, 64);
  checkpoints.flush();
  fs::remove(output_);  // so that it cannot be synced
  checkpoints.drop(7);
  EXPECT_THROW(checkpoints.flush(), Error);
  EXPECT_EQ(furthest(), 64) << "else the document would start over after a power failure";
}

TEST_F(CheckpointFileTest, AnOutputThatCannotBeSyncedEndsTheJob) {
  Checkpoints checkpoints(output_, kIdentity, [&](Index) { return document_; });
  fs::remove(output_);
  checkpoints.take(copy_at(64));
  checkpoints.reached(7, 64);
  EXPECT_THROW(checkpoints.flush(), Error);
  EXPECT_THROW(checkpoints.take(copy_at(128)), Error);
  EXPECT_FALSE(fs::exists(folder_.path()));
}

}  // namespace
}  // namespace riverrun::jobs
