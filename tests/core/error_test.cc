// What scripts and people rely on when something fails: the exit code and a message that stands by itself.
#include "core/error.h"

#include <cerrno>
#include <string>

#include <gtest/gtest.h>

namespace riverrun {
namespace {

TEST(ErrorTest, ExitCodesAreTheDocumentedNumbers) {
  EXPECT_EQ(static_cast<int>(ExitCode::done), 0);
  EXPECT_EQ(static_cast<int>(ExitCode::failed), 1);
  EXPECT_EQ(static_cast<int>(ExitCode::bad_input), 2);
  EXPECT_EQ(static_cast<int>(ExitCode::some_documents_failed), 3);
  EXPECT_EQ(static_cast<int>(ExitCode::stopped), 75);
}

TEST(ErrorTest, CodesFollowTheKindOfError) {
  EXPECT_EQ(Error("x").code(), ExitCode::failed);
  EXPECT_EQ(Error("x", ExitCode::stopped).code(), ExitCode::stopped);
  EXPECT_EQ(InputError("x").code(), ExitCode::bad_input);
}

TEST(ErrorTest, AnInputErrorIsCaughtAsAnErrorWithItsCode) {
  try {
    throw InputError("no such model");
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::bad_input);
    EXPECT_STREQ(error.what(), "no such model");
  }
}

TEST(ErrorTest, ConcatJoinsPartsOfAnyPrintableType) {
  EXPECT_EQ(concat("rank ", 3, " of ", std::string("8"), ' ', 0.5), "rank 3 of 8 0.5");
  EXPECT_EQ(concat(), "");
}

TEST(ErrorTest, WithErrnoKeepsTheSystemsWords) {
  errno = ENOENT;
  EXPECT_EQ(with_errno("cannot open x.pth"), "cannot open x.pth: No such file or directory");
}

// The message of the exception that `body` throws; empty when it throws none.
template <class Thrown, class Body>
std::string message_of(Body&& body) {
  try {
    body();
  } catch (const Thrown& error) {
    return error.what();
  }
  return {};
}

TEST(CheckTest, AFailedCheckSaysMessageExpressionAndPlace) {
  const int line = __LINE__ + 1;
  const std::string message = message_of<Error>([] { RR_CHECK(1 + 1 == 3, "the sum is ", 2); });
  EXPECT_EQ(message, concat("the sum is 2 (internal check failed: 1 + 1 == 3, core/error_test.cc:", line, ")"));
}

TEST(CheckTest, AFailedCheckWithoutAMessageStillSaysWhere) {
  EXPECT_EQ(message_of<Error>([] { RR_CHECK(false); }).find("(internal check failed: false, core/error_test.cc:"), 0u);
}

TEST(CheckTest, AShortOrRootedPathIsShownWhole) {
  EXPECT_EQ(message_of<Error>([] { detail::check_failed("x", "a.cc", 7, "m"); }), "m (internal check failed: x, a.cc:7)");
  EXPECT_EQ(message_of<Error>([] { detail::check_failed("x", "b/a.cc", 7, "m"); }),
            "m (internal check failed: x, b/a.cc:7)");
}

TEST(CheckTest, ABrokenInvariantIsNotCalledBadInput) {
  try {
    RR_CHECK(false, "x");
    FAIL() << "RR_CHECK let a false condition through";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::failed);
  }
}

TEST(CheckTest, AFailedInputCheckShowsTheMessageAlone) {
  EXPECT_EQ(message_of<InputError>([] { RR_CHECK_INPUT(false, "--ranks ", -1, " is below 1"); }), "--ranks -1 is below 1");
}

TEST(CheckTest, AHoldingCheckEvaluatesItsConditionOnceAndItsMessageNever) {
  int conditions = 0, messages = 0;
  const auto holds = [&] { return ++conditions > 0; };
  const auto text = [&] { return ++messages; };
  RR_CHECK(holds(), text());
  RR_CHECK_INPUT(holds(), text());
  EXPECT_EQ(conditions, 2);
  EXPECT_EQ(messages, 0);
}

}  // namespace
}  // namespace riverrun
