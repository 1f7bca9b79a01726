// Shared weights: what one process packs, others find, under the same layout or not at all; and nothing outlives them.
#include "core/shared_weights.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

#include "core/error.h"

namespace riverrun {
namespace {

constexpr Index kLarge = (Index{5} << 20) + 64;

void write_all(SharedWeightsWriter& writer) {
  for (const Index bytes : {Index{100}, kLarge, Index{7}}) {
    const WeightMemory piece = writer.take(bytes, concat("piece of ", bytes));
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(piece.data()) % 64, 0u);
    std::memset(piece.data(), static_cast<int>(bytes % 251), static_cast<std::size_t>(bytes));
  }
  writer.publish();
}

// Runs `body` in another process and returns how that ended: 0 if it returned true.
template <class Body>
int in_child(Body body) {
  const pid_t child = ::fork();
  if (child == 0) {
    try {
      ::_exit(body() ? 0 : 1);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "%s\n", error.what());
      ::_exit(2);
    }
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return status;
}

std::string refusal(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "no Error";
}

bool holds(const std::string& text, const std::string& words) { return text.find(words) != std::string::npos; }

TEST(SharedWeights, AnotherProcessFindsWhatWasPacked) {
  SharedWeightsWriter writer;
  const SharedAddress address = writer.address();
  write_all(writer);
  EXPECT_EQ(in_child([&] {
              SharedWeightsReader reader(address);
              reader.read_contents();
              bool same = reader.filled();
              for (const Index bytes : {Index{100}, kLarge, Index{7}}) {
                const WeightMemory piece = reader.take(bytes, concat("piece of ", bytes));
                for (Index i = 0; i < bytes; ++i) same = same && piece.data()[i] == std::byte(bytes % 251);
              }
              reader.check_all_taken();
              return same;
            }),
            0);
}

TEST(SharedWeights, APieceOutlivesWriterAndReader) {
  WeightMemory piece;
  {
    SharedWeightsWriter writer;
    write_all(writer);
    SharedWeightsReader reader(writer.address());
    reader.read_contents();
    piece = reader.take(100, "piece of 100");
  }
  EXPECT_EQ(piece.data()[99], std::byte{100});
}

TEST(SharedWeights, AnotherLayoutIsAnError) {
  SharedWeightsWriter writer;
  write_all(writer);
  SharedWeightsReader reader(writer.address());
  reader.read_contents();
  EXPECT_TRUE(holds(refusal([&] { (void)reader.take(100, "piece of one hundred"); }), "number 0 of 3 than piece of one hundred"));
  EXPECT_TRUE(holds(refusal([&] { (void)reader.take(101, "piece of 100"); }), "101 bytes"));
  (void)reader.take(100, "piece of 100");
  EXPECT_TRUE(holds(refusal([&] { reader.check_all_taken(); }), "3 pieces, of which this model took 1"));
  (void)reader.take(kLarge, concat("piece of ", kLarge));
  (void)reader.take(7, "piece of 7");
  reader.check_all_taken();
  EXPECT_TRUE(holds(refusal([&] { (void)reader.take(7, "piece of 7"); }), "number 3 of 3"));
}

TEST(SharedWeights, UnpublishedWeightsAreAnError) {
  SharedWeightsWriter writer;
  SharedWeightsReader reader(writer.address());
  EXPECT_TRUE(holds(refusal([&] { reader.read_contents(); }), "no table of contents"));
  (void)writer.take(kLarge, "x");
  EXPECT_TRUE(holds(refusal([&] { reader.read_contents(); }), "no table of contents"));
}

// A process number may have been given to someone else, a descriptor to another file.
TEST(SharedWeights, AForeignFileIsNotTaken) {
  SharedWeightsWriter writer, other;
  SharedAddress address = writer.address();
  address.descriptor = other.address().descriptor;
  EXPECT_TRUE(holds(refusal([&] { SharedWeightsReader reader(address); }), "another file"));
  address.descriptor = 1 << 20;
  EXPECT_TRUE(holds(refusal([&] { SharedWeightsReader reader(address); }), "cannot open the shared weights"));
}

TEST(SharedWeights, NobodyWritesOncePublished) {
  SharedWeightsWriter writer;
  const WeightMemory own = writer.take(100, "x");
  writer.publish();
  const int status = in_child([&] {
    ::signal(SIGSEGV, SIG_DFL);
    *const_cast<volatile std::byte*>(own.data()) = std::byte{1};
    return true;
  });
  EXPECT_NE(status, 0);
  EXPECT_EQ(::ftruncate(writer.address().descriptor, 0), -1) << "readers would get a bus error";
}

// A limit on the size of files stands for every way in which memory can be refused.
TEST(SharedWeights, MissingMemoryIsAnErrorAtOnce) {
  EXPECT_EQ(in_child([] {
              ::signal(SIGXFSZ, SIG_IGN);
              const rlimit limit{1 << 20, 1 << 20};
              if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) return false;
              SharedWeightsWriter writer;
              (void)writer.take(1000, "fits");
              return holds(refusal([&] { (void)writer.take(kLarge, "does not"); }), "no memory for 5 MiB of shared weights");
            }),
            0);
}

TEST(SharedWeights, OtherUsersCannotOpenThem) {
  const SharedWeightsWriter writer;
  const auto path = concat("/proc/self/fd/", writer.address().descriptor);
  EXPECT_EQ(std::filesystem::status(path).permissions(), std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

TEST(SharedWeights, ADomainIsTheSameForProcessesOfANode) {
  const std::string here = sharing_domain();
  EXPECT_EQ(in_child([&] { return sharing_domain() == here; }), 0);
  EXPECT_TRUE(holds(here, concat("pid:["))) << here;
}

}  // namespace
}  // namespace riverrun
