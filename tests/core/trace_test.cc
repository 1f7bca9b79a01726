// Trace: a file that a viewer opens, with times that mean what they say.
#include "core/trace.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include <gtest/gtest.h>

#include "core/error.h"

namespace riverrun {
namespace {

namespace fs = std::filesystem;
using std::chrono::microseconds;

TEST(TraceTest, EventsCountMicrosecondsFromTheOrigin) {
  const auto origin = Trace::Clock::now();
  Trace trace(3, origin);
  trace.add("project", "compute", origin + microseconds(1500), origin + microseconds(4000), 12, 7);
  trace.add("wait", "ring", origin + microseconds(4000), origin + microseconds(4250), 13, -1);
  EXPECT_EQ(trace.json(),
            R"({"ph":"M","name":"process_name","pid":3,"args":{"name":"rank 3"}},)"
            "\n"
            R"({"ph":"X","pid":3,"tid":0,"name":"project","cat":"compute","ts":1500.000,"dur":2500.000,"args":{"block":12,"layer":7}},)"
            "\n"
            R"({"ph":"X","pid":3,"tid":0,"name":"wait","cat":"ring","ts":4000.000,"dur":250.000,"args":{"block":13}})");
}

TEST(TraceTest, ADayIntoAJobMicrosecondsAreStillExact) {
  const auto origin = Trace::Clock::now();
  Trace trace(0, origin);
  trace.add("x", "y", origin + std::chrono::hours(24) + microseconds(1), origin + std::chrono::hours(24) + microseconds(3), 0, 0);
  EXPECT_NE(trace.json().find("\"ts\":86400000001.000,\"dur\":2.000"), std::string::npos) << trace.json();
}

TEST(TraceTest, TheFileJoinsThePartsOfAllRanks) {
  const fs::path path = fs::temp_directory_path() / concat("riverrun_trace_", ::getpid(), ".json");
  const std::string parts[] = {R"({"a":1})", R"({"b":2})"};
  write_trace(path.string(), parts);
  std::ifstream in(path);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  fs::remove(path);
  EXPECT_EQ(text, "{\"traceEvents\":[\n{\"a\":1},\n{\"b\":2}\n]}\n");
}

TEST(TraceTest, AFileThatCannotBeWrittenIsAnErrorThatNamesIt) {
  const std::string path = (fs::temp_directory_path() / "riverrun_no_such_folder" / "trace.json").string();
  try {
    write_trace(path, {});
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(path), std::string::npos) << error.what();
  }
}

TEST(TraceTest, AFullDiskIsAnError) {
  if (!fs::exists("/dev/full")) GTEST_SKIP() << "this system has no /dev/full";
  const std::string parts[] = {std::string(100, 'x')};
  EXPECT_THROW(write_trace("/dev/full", parts), Error);
}

}  // namespace
}  // namespace riverrun
