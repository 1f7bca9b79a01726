#include "output/reader.h"

#include <gtest/gtest.h>

#include <random>

#include "output/difference.h"
#include "output/metadata.h"
#include "output/writer.h"
#include "sample.h"

namespace riverrun::output {
namespace {

using namespace testing;

// Everything a Reader can be asked; only InputError may come out of a damaged file.
void read_all(const std::string& path) {
  const Reader reader(path);
  reader.ids(), reader.tokens(), reader.bytes(), reader.errors(), reader.status();
  for (const auto& dataset : reader.datasets()) {
    const bool small = dataset.bytes() < 1 << 20 && !dataset.shape.empty();
    const Element e = dataset.element;
    if (small && (e == Element::f16 || e == Element::f32)) reader.floats(dataset.path, 0, dataset.rows());
    if (small && (e == Element::i64 || e == Element::i32 || e == Element::u8))
      reader.integers(dataset.path, 0, dataset.rows());
  }
  for (const TextGroup group : {TextGroup::summaries, TextGroup::sections, TextGroup::answers}) {
    const Dataset* texts = reader.dataset(paths_of(group).text);
    if (texts && texts->bytes() < 1 << 20 && texts->rows() > 0)
      reader.generated_text(group, texts->rows() - 1);
  }
  difference(reader, full_spec());
}

// True when the file reads, false when it is refused; anything else ends the test.
bool reads(const std::string& path) {
  try {
    read_all(path);
    return true;
  } catch (const InputError&) {
    return false;
  }
}

TEST(Reader, SaysWhatAFileIsNot) {
  const TemporaryFolder folder;
  const std::string path = folder.path("x.h5");
  const auto reason = [&] { return error_of([&] { Reader{path}; }); };
  EXPECT_EQ(reason(), path + ": cannot open: No such file or directory");
  write_file(path, "");
  EXPECT_EQ(reason(), path + ": is not an HDF5 file");
  write_file(path, std::string(10000, 'x'));
  EXPECT_EQ(reason(), path + ": is not an HDF5 file");
  {
    Hdf5File file = Hdf5File::create(path);
    file.add_group("/documents");
    file.close();
  }
  EXPECT_EQ(reason(), path + ": is an HDF5 file but not one of riverrun's: it has no attribute \"schema\"");
  {
    Hdf5File file = Hdf5File::create(path);
    file.add_attribute({"schema", Index{2}});
    file.close();
  }
  EXPECT_EQ(reason(), path + ": has schema 2, this program reads schema 1");
  EXPECT_TRUE(is_input_error([&] { Reader{path}; }));
  EXPECT_TRUE(is_input_error([&] { Writer{path}; }));
  EXPECT_TRUE(is_input_error([&] { Reader{folder.path()}; }));
}

// A file of schema 1 but for one dataset of another type or shape.
std::string reason_with(const TemporaryFolder& folder, const Dataset& odd) {
  const std::string path = folder.path("odd.h5");
  {
    Hdf5File file = Hdf5File::create(path);
    file.add_attribute({"schema", kSchema});
    file.add_attribute({"job", "embed"});
    file.add_attribute({"complete", Index{0}});
    FileSpec spec = full_spec();
    spec.tokens.assign(4, 0);  // as fresh datasets are zeros, /scores/offset agrees
    spec.windows = WindowsSpec{{0}, {0}, {0}};
    for (const char* group : {"/documents", "/windows", "/scores", "/states", "/summaries", "/sections",
                              "/answers", "/questions", "/passages"})
      file.add_group(group);
    for (const auto& dataset : datasets_of(spec)) {
      const bool replaced = dataset.path == odd.path;
      if (!replaced || odd.element != Element::other) file.add_dataset(replaced ? odd : dataset);
    }
    file.close();
  }
  return error_of([&] { Reader{path}; });
}

TEST(Reader, ChecksTypesAndShapes) {
  const TemporaryFolder folder;
  const auto refused = [&](const Dataset& odd, const std::string& words) {
    const std::string reason = reason_with(folder, odd);
    EXPECT_NE(reason.find(odd.path + words), std::string::npos) << odd.path << ": " << reason;
  };
  EXPECT_EQ(reason_with(folder, {"/unknown", Element::other, 0, {}}), "");
  refused({"/documents/id", Element::i64, 8, {4}}, " holds int64 instead of string");
  refused({"/documents/id", Element::text, 5, {2, 2}}, " has shape [2, 2] instead of [any]");
  refused({"/documents/tokens", Element::i64, 8, {5}}, " has shape [5] instead of [4]");
  refused({"/documents/bytes", Element::i32, 4, {4}}, " holds int32 instead of int64");
  refused({"/documents/status", Element::i64, 8, {4}}, " holds int64 instead of uint8");
  refused({"/documents/error", Element::text, 160, {3}}, " has shape [3] instead of [4]");
  refused({"/embeddings", Element::f64, 8, {4, 3}}, " holds float64 instead of float32");
  refused({"/embeddings", Element::f32, 4, {4}}, " has shape [4] instead of [4, any]");
  refused({"/windows/tokens", Element::i64, 8, {2}}, " has shape [2] instead of [1]");
  refused({"/scores/offset", Element::i64, 8, {4}}, " has shape [4] instead of [5]");
  refused({"/states/shift", Element::f32, 4, {4, 2, 3, 4}},
          " has shape [4, 2, 3, 4] instead of [4, any, 2, any]");
  refused({"/summaries/text", Element::text, 16, {3}}, " has shape [3] instead of [4]");
  refused({"/summaries/tokens", Element::f32, 4, {4, 4}}, " holds float32 instead of int32");
  refused({"/summaries/length", Element::i64, 8, {4}}, " holds int64 instead of int32");
  refused({"/summaries/stop_reason", Element::u8, 1, {5}}, " has shape [5] instead of [4]");
  refused({"/sections/document", Element::i64, 8, {4}}, " has shape [4] instead of [3]");
  refused({"/sections/first_token", Element::i32, 4, {3}}, " holds int32 instead of int64");
  refused({"/sections/tokens", Element::i64, 8, {2}}, " has shape [2] instead of [3]");
  refused({"/sections/generated", Element::i32, 4, {3}}, " has shape [3] instead of [3, any]");
  refused({"/sections/text", Element::i32, 4, {3}}, " holds int32 instead of string");
  refused({"/answers/question", Element::i64, 8, {3}}, " has shape [3] instead of [2]");
  refused({"/answers/length", Element::i32, 4, {2, 1}}, " has shape [2, 1] instead of [2]");
  refused({"/questions/text", Element::i64, 8, {2}}, " holds int64 instead of string");
  refused({"/passages/first_byte", Element::i64, 8, {3}}, " has shape [3] instead of [2]");
  refused({"/passages/bytes", Element::i32, 4, {2}}, " holds int32 instead of int64");
  for (const char* path :
       {"/documents/id", "/documents/error", "/scores/offset", "/windows/document", "/states/shift",
        "/summaries/stop_reason", "/sections/tokens", "/answers/document", "/questions/text", "/passages/document"}) {
    const std::string reason = reason_with(folder, {path, Element::other, 0, {}});
    EXPECT_NE(reason.find(concat("has no dataset ", path)), std::string::npos) << reason;
  }
  EXPECT_NE(reason_with(folder, {"/questions/text", Element::text, 5, {0}})
                .find("/answers/question names a question"),
            std::string::npos);
  EXPECT_NE(
      reason_with(folder, {"/scores/logprob", Element::f32, 4, {3}}).find("/scores/offset does not agree"),
      std::string::npos);
}

// Puts `bytes` over what `path` holds at `offset` of a dataset.
void overwrite(const std::string& path, const std::string& dataset_path, Index offset,
               const std::string& bytes) {
  const Index at = Reader(path).dataset(dataset_path)->offset + offset;
  std::string all = read_file(path);
  all.replace(static_cast<std::size_t>(at), bytes.size(), bytes);
  write_file(path, all);
}

TEST(Reader, ImpossibleContentsAreRefused) {
  const TemporaryFolder folder;
  const std::string path = folder.path("out.h5");
  const auto fresh = [&] { Writer::create(path, full_spec(), true); };
  fresh();
  overwrite(path, "/documents/status", 2, "\x03");
  EXPECT_TRUE(is_input_error([&] { Reader(path).status(); }));
  EXPECT_TRUE(is_input_error([&] { Writer{path}; }));
  fresh();
  overwrite(path, "/windows/document", 8, "\x04");
  EXPECT_TRUE(is_input_error([&] { Reader{path}; }));
  fresh();
  overwrite(path, "/scores/offset", 8, "\x04");
  EXPECT_TRUE(is_input_error([&] { Reader{path}; }));
  for (const char* list : {"/sections/document", "/answers/document", "/answers/question", "/passages/document"}) {
    fresh();
    overwrite(path, list, 8, "\x04");
    EXPECT_TRUE(is_input_error([&] { Reader{path}; })) << list;
  }
  fresh();
  overwrite(path, "/sections/length", 4, "\x03");
  EXPECT_TRUE(is_input_error([&] { Reader(path).generated_text(TextGroup::sections, 1); }));
  EXPECT_EQ(error_of([&] { Reader(path).generated_text(TextGroup::sections, 2); }), "");
  fresh();
  overwrite(path, "/answers/stop_reason", 0, "\x04");
  EXPECT_TRUE(is_input_error([&] { Reader(path).generated_text(TextGroup::answers, 0); }));
  fresh();
  overwrite(path, "/documents/tokens", 7, "\x80");  // negative
  EXPECT_TRUE(is_input_error([&] { Reader{path}; }));
  fresh();
  overwrite(path, "/documents/id", 0, "\xff");
  EXPECT_EQ(Reader(path).ids().front(), "\xef\xbf\xbdlain");  // text is text: shown, never a crash
}

TEST(Reader, ACutOffFileIsRefused) {
  const TemporaryFolder folder;
  const std::string path = folder.path("out.h5");
  Writer::create(path, full_spec());
  const std::string whole = read_file(path);
  const auto hdf5_end = whole.size() - static_cast<std::size_t>(seal_bytes(Reader(path).datasets()));
  for (std::size_t size = 0; size < hdf5_end; size += size < 128 ? 1 : 509) {
    write_file(path, whole.substr(0, size));
    EXPECT_TRUE(is_input_error([&] { Reader{path}; })) << size;
    EXPECT_TRUE(is_input_error([&] { Writer{path}; })) << size;
  }
}

// HDF5 opens a file for writing: the seal goes, everything else works.
TEST(Reader, AFileWithoutItsSealStillReadsAndResumes) {
  const TemporaryFolder folder;
  const std::string path = folder.path("out.h5");
  Writer::create(path, full_spec());
  std::filesystem::resize_file(path, std::filesystem::file_size(path) -
                                         static_cast<std::uintmax_t>(seal_bytes(Reader(path).datasets())));
  EXPECT_TRUE(reads(path));
  Writer writer(path);
  for (Index i = 0; i < 4; ++i) writer.mark_done(i);
  writer.finish();
  EXPECT_TRUE(Reader(path).complete());
}

// Metadata is some kilobytes at the start of the file. A flipped byte there is found, or does not matter.
TEST(Reader, DamagedMetadataNeverCrashes) {
  const TemporaryFolder folder;
  const std::string good = folder.path("good.h5"), path = folder.path("out.h5");
  Writer::create(good, full_spec());
  const std::string whole = read_file(good);
  ASSERT_TRUE(reads(good));
  std::mt19937 random(4);
  Index refused = 0;
  for (int trial = 0; trial < 600; ++trial) {
    std::string damaged = whole;
    const auto at = static_cast<std::size_t>(random() % (trial % 3 ? 4096 : whole.size()));
    const char mask = static_cast<char>(trial % 2 ? 1 << random() % 8 : 1 + random() % 255);
    damaged[at] = static_cast<char>(damaged[at] ^ mask);
    write_file(path, damaged);
    SCOPED_TRACE(concat("byte ", at, " flipped by ", int{mask}));
    refused += !reads(path);
    try {
      Writer{path};
    } catch (const InputError&) {
    }
  }
  EXPECT_GT(refused, 50);
  EXPECT_LT(refused, 550);
}

TEST(Reader, GarbageIsRefused) {
  const TemporaryFolder folder;
  const std::string path = folder.path("out.h5");
  Writer::create(path, full_spec());
  const std::string whole = read_file(path);
  std::mt19937 random(5);
  for (int trial = 0; trial < 100;
       ++trial) {  // the signature and superblock stay, stretches of the rest are noise
    std::string damaged = whole;
    const auto begin = 96 + random() % 4000;
    for (auto i = begin; i < begin + 64 && i < damaged.size(); ++i) damaged[i] = static_cast<char>(random());
    write_file(path, damaged);
    reads(path);  // throws nothing but InputError
  }
  std::string noise = whole.substr(0, 8);
  while (noise.size() < 8192) noise.push_back(static_cast<char>(random()));
  write_file(path, noise);
  EXPECT_FALSE(reads(path));
}

}  // namespace
}  // namespace riverrun::output
