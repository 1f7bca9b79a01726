// The files as other programs see them: h5py, h5dump and h5repack, not our own reader.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>

#include "output/reader.h"
#include "output/writer.h"
#include "sample.h"

namespace riverrun::output {
namespace {

using namespace testing;

constexpr const char* kPython = "/usr/bin/python3";  // the one that distribution packages of h5py are for

bool runs(const std::string& command) { return std::system((command + " > /dev/null 2>&1").c_str()) == 0; }

// Fills all but document 3.
void write_rows(Writer& writer) {
  const auto offsets = score_offsets(full_spec().tokens);
  for (const Index document : {0, 2}) {
    const auto d = static_cast<float>(document);
    writer.write_embedding(document, std::vector<float>{d + 1.0f / 3.0f, -1.0f / 3.0f, 65504.0f});
    std::vector<float> scores;
    for (Index t = 0; t < full_spec().tokens[document]; ++t) scores.push_back(-static_cast<float>(t) - d);
    writer.write_scores(offsets[document], scores);
  }
  const std::vector<float> counting = {0, 1, 2, 3, 4, 5, 6, 7};
  writer.write_wkv_state(2, 0, counting);
  writer.write_shift_state(2, 1, counting);
  writer.write_text(TextGroup::summaries, 0, {"kürzer", {5, 6}, StopReason::stop_text});
  writer.write_text(TextGroup::sections, 1, {"twelve bytes", {7, 8}, StopReason::length});
  writer.write_text(TextGroup::answers, 1, {"oui", {}, StopReason::stop_token});
  writer.write_passage(1, {2, 3, 4, 9, "nine bits"});
  writer.mark_done(0);
  writer.mark_failed(1, "kein Text: Füße");
  writer.mark_done(2);
  writer.commit();
}

class FormatTest : public ::testing::Test {
 protected:
  FormatTest() {
    FileSpec spec = full_spec();
    spec.embedding_f16 = true;
    Writer::create(path_, spec);
  }
  TemporaryFolder folder_;
  std::string path_ = folder_.path("out.h5");
};

TEST_F(FormatTest, H5pyReadsEverythingWhileTheWriterIsOpenAndAfter) {
  if (!runs(concat(kPython, " -c 'import h5py, numpy'"))) GTEST_SKIP() << kPython << " has no h5py";
  const auto reads_back = [&](int complete) {
    return std::system(
               concat(kPython, " ", RIVERRUN_OUTPUT_TESTS, "/read_back.py ", path_, " ", complete).c_str()) ==
           0;
  };
  Writer writer(path_);
  write_rows(writer);
  EXPECT_TRUE(reads_back(0));
  writer.mark_done(3);
  writer.finish();
  EXPECT_TRUE(reads_back(1));
}

TEST_F(FormatTest, ADatasetAddedByH5pyLeavesTheFileReadable) {
  if (!runs(concat(kPython, " -c 'import h5py, numpy'"))) GTEST_SKIP() << kPython << " has no h5py";
  ASSERT_TRUE(runs(concat(kPython, " -c 'import h5py; f = h5py.File(\"", path_,
                          "\", \"a\"); f[\"mine/notes\"] = [1.0] * 1000; f.attrs[\"note\"] = \"ü\"'")));
  {
    const Reader reader(path_);
    EXPECT_EQ(reader.text("note"), "ü");
    EXPECT_EQ(reader.dataset("/mine/notes")->element, Element::f64);
    EXPECT_EQ(reader.ids(), full_spec().ids);
  }
  Writer writer(path_);
  write_rows(writer);
  writer.mark_done(3);
  writer.finish();
  EXPECT_TRUE(Reader(path_).complete());
  EXPECT_EQ(Reader(path_).floats("/mine/notes", 999, 1).front(), 1.0f);
}

TEST_F(FormatTest, H5dumpShowsIt) {
  if (!runs("h5dump --version")) GTEST_SKIP() << "there is no h5dump";
  EXPECT_TRUE(runs("h5dump " + path_));
  EXPECT_TRUE(runs(concat("h5dump -d /documents/status ", path_, " | grep -q '0, 0, 0, 0'")));
}

TEST_F(FormatTest, ARepackedFileIsReadButNotWritten) {
  if (!runs("h5repack --version")) GTEST_SKIP() << "there is no h5repack";
  Writer writer(path_);
  write_rows(writer);
  writer.mark_done(3);
  writer.finish();
  const std::string packed = folder_.path("packed.h5");
  ASSERT_TRUE(runs(concat("h5repack -l CHUNK=1x3 -f /embeddings:GZIP=1 ", path_, " ", packed)) ||
              runs(concat("h5repack -f GZIP=1 ", path_, " ", packed)));
  const Reader reader(packed), original(path_);
  EXPECT_TRUE(reader.complete());
  EXPECT_EQ(reader.dataset("/embeddings")->offset, -1);
  EXPECT_EQ(reader.floats("/embeddings", 0, 4), original.floats("/embeddings", 0, 4));
  EXPECT_EQ(reader.errors(), original.errors());
  EXPECT_TRUE(is_input_error([&] { Writer{packed}; }));
}

}  // namespace
}  // namespace riverrun::output
