#include "tollgate/error.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <system_error>
#include <type_traits>

namespace tollgate {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

template <class Expected>
bool is_thrown_as(Errc code) {
  try {
    throw_failure({code});
  } catch (const Expected& error) {
    return error.code() == code && typeid(error) == typeid(Expected);
  } catch (...) {
    return false;
  }
}

TEST(Error, IsARuntimeErrorWithOneRoot) {
  static_assert(std::is_base_of_v<std::runtime_error, Error>);
  static_assert(std::is_base_of_v<Error, ConnectionError>);
  static_assert(std::is_base_of_v<Error, TimeoutError>);
  static_assert(std::is_base_of_v<Error, ServerError>);
  EXPECT_THROW(throw_failure({Errc::kTimeout}), Error);
  EXPECT_THROW(throw_failure({Errc::kReadOnly}), std::runtime_error);
}

TEST(Error, HasTheClassThatFitsItsCode) {
  EXPECT_TRUE(is_thrown_as<TimeoutError>(Errc::kTimeout));
  for (const Errc code : {Errc::kConnectFailed, Errc::kConnectionLost, Errc::kOverloaded, Errc::kProtocol}) {
    EXPECT_TRUE(is_thrown_as<ConnectionError>(code)) << std::error_code{code}.message();
  }
  for (const Errc code :
       {Errc::kServerError, Errc::kOutOfMemory, Errc::kAuthRequired, Errc::kAuthFailed, Errc::kPermissionDenied,
        Errc::kLoading, Errc::kReadOnly, Errc::kBusy, Errc::kWrongType, Errc::kOverflow}) {
    EXPECT_TRUE(is_thrown_as<ServerError>(code)) << std::error_code{code}.message();
  }
}

TEST(Error, KeepsTheCodeOfAnInjectedClient) {
  const auto code = std::make_error_code(std::errc::host_unreachable);
  try {
    throw_failure({code, true, "down the road"});
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code);
    EXPECT_EQ(typeid(error), typeid(Error));
    EXPECT_TRUE(error.may_have_executed());
    EXPECT_FALSE(error.retryable());
  }
}

TEST(Error, NamesTheErrorAndWhereItHappened) {
  EXPECT_STREQ((Error{{Errc::kConnectFailed, false, "127.0.0.1:1: refused"}}.what()),
               "tollgate: no connection to Redis: 127.0.0.1:1: refused");
}

TEST(Error, SaysWhenTheRequestMayHaveBeenExecuted) {
  const Error in_doubt{{Errc::kTimeout, true}};
  EXPECT_TRUE(in_doubt.may_have_executed());
  EXPECT_STREQ(in_doubt.what(), "tollgate: the deadline passed; the request may have been executed");
  const Error certain{{Errc::kTimeout, false}};
  EXPECT_FALSE(certain.may_have_executed());
  EXPECT_THAT(certain.what(), Not(HasSubstr("executed")));
}

TEST(Error, KeepsTheServersTextOutOfItsMessage) {
  try {
    throw_failure(failure_from_error_reply("WRONGTYPE user_42 is no string"));
  } catch (const ServerError& error) {
    EXPECT_EQ(error.server_text(), "WRONGTYPE user_42 is no string");
    EXPECT_THAT(error.what(), Not(HasSubstr("user_42")));
    EXPECT_THAT(error.what(), HasSubstr("WRONGTYPE"));
  }
}

TEST(Error, IsRetryableWhereTimeAloneMayHelp) {
  for (const Errc code : {Errc::kTimeout, Errc::kConnectFailed, Errc::kConnectionLost, Errc::kOverloaded,
                          Errc::kOutOfMemory, Errc::kLoading, Errc::kReadOnly, Errc::kBusy}) {
    EXPECT_TRUE(is_retryable(code)) << std::error_code{code}.message();
  }
  for (const Errc code : {Errc::kProtocol, Errc::kServerError, Errc::kAuthRequired, Errc::kAuthFailed,
                          Errc::kPermissionDenied, Errc::kWrongType, Errc::kOverflow}) {
    EXPECT_FALSE(is_retryable(code)) << std::error_code{code}.message();
  }
  EXPECT_FALSE(is_retryable({}));
  EXPECT_FALSE(is_retryable(std::make_error_code(std::errc::timed_out)));
  EXPECT_TRUE((Error{{Errc::kTimeout}}.retryable()));
}

TEST(ErrorReply, IsRecognisedByItsFirstWord) {
  struct Case {
    const char* text;
    Errc code;
  };
  for (const Case& one :
       {Case{"OOM command not allowed when used memory > 'maxmemory'.", Errc::kOutOfMemory},
        Case{"NOAUTH Authentication required.", Errc::kAuthRequired},
        Case{"WRONGPASS invalid username-password pair or user is disabled.", Errc::kAuthFailed},
        Case{"ERR AUTH <password> called without any password configured for the default user.", Errc::kAuthFailed},
        Case{"NOPERM this user has no permissions to run the 'incrby' command", Errc::kPermissionDenied},
        Case{"LOADING Redis is loading the dataset in memory", Errc::kLoading},
        Case{"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", Errc::kLoading},
        Case{"CLUSTERDOWN The cluster is down", Errc::kLoading},
        Case{"TRYAGAIN Multiple keys request during rehashing of slot", Errc::kLoading},
        Case{"READONLY You can't write against a read only replica.", Errc::kReadOnly},
        Case{"MISCONF Redis is configured to save RDB snapshots", Errc::kReadOnly},
        Case{"BUSY Redis is busy running a script.", Errc::kBusy},
        Case{"WRONGTYPE Operation against a key holding the wrong kind of value", Errc::kWrongType},
        Case{"ERR value is not an integer or out of range", Errc::kWrongType},
        Case{"ERR value is not an integer or out of range script: 4d5c, on @user_script:21.", Errc::kWrongType},
        Case{"ERR increment or decrement would overflow", Errc::kOverflow},
        Case{"ERR unknown command 'EVALSHA', with args beginning with: ", Errc::kUnknownCommand},
        Case{"MOVED 3999 127.0.0.1:6381", Errc::kMoved},
        Case{"ASK 3999 127.0.0.1:6381", Errc::kMoved},
        Case{"CROSSSLOT Keys in request don't hash to the same slot", Errc::kCrossSlot},
        Case{"ERR Error running script (call to f_4ca2): @user_script:1: @user_script: 1: -OOM command not allowed",
             Errc::kOutOfMemory},
        Case{"ERR Error running script (call to f_4ca2): @user_script:9: @user_script: 9: WRONGTYPE Operation",
             Errc::kWrongType},
        Case{"ERR Error running script (call to f_4ca2): @user_script: 9", Errc::kServerError},
        Case{"ERR Error running script (call to f_4ca2): OOM ", Errc::kServerError},
        Case{"MOVEDX", Errc::kServerError},
        Case{"BUSYKEY Target key name already exists.", Errc::kServerError},
        Case{"OOMPH", Errc::kServerError},
        Case{"", Errc::kServerError}}) {
    const Failure failure = failure_from_error_reply(one.text);
    EXPECT_EQ(failure.code, one.code) << one.text;
    EXPECT_EQ(failure.server_text, one.text);
    EXPECT_EQ(failure.detail, "");
    EXPECT_FALSE(failure.may_have_executed) << one.text;
  }
}

TEST(ErrorReply, IsDescribedByItsCodeWordAndItsCommandAndNothingElse) {
  const auto detail = [](std::string_view text) { return failure_from_error_reply(text, "INCRBY").detail; };
  EXPECT_EQ(detail("OOM command not allowed when used memory > 'maxmemory'."), "INCRBY was answered with OOM");
  EXPECT_EQ(detail("NOPERM this user has no permissions"), "INCRBY was answered with NOPERM");
  EXPECT_EQ(detail("ERR unknown command 'INCRBY', with args beginning with: 'alice'"),
            "INCRBY was answered with ERR unknown command");
  EXPECT_EQ(detail("ERR value is not an integer"), "INCRBY was answered with ERR");
  for (const char* text : {"alice is not known", "ALICE-1", "", "AVERYLONGWORDTHATNOREDISANSWERS x"}) {
    EXPECT_EQ(detail(text), "INCRBY was answered with an error") << text;
  }
}

TEST(ErrorCode, DistinguishesMisconfigurations) {
  for (const Errc code : {Errc::kAuthRequired, Errc::kAuthFailed, Errc::kPermissionDenied, Errc::kWrongType,
                          Errc::kMoved, Errc::kCrossSlot, Errc::kUnknownCommand}) {
    EXPECT_TRUE(is_misconfiguration(code)) << std::error_code{code}.message();
    EXPECT_FALSE(is_retryable(code)) << std::error_code{code}.message();
  }
  for (const Errc code :
       {Errc::kTimeout, Errc::kConnectFailed, Errc::kOutOfMemory, Errc::kLoading, Errc::kServerError}) {
    EXPECT_FALSE(is_misconfiguration(code)) << std::error_code{code}.message();
  }
  EXPECT_FALSE(is_misconfiguration(std::make_error_code(std::errc::timed_out)));
}

TEST(ErrorCode, OfAMovedKeySaysWhichUrlToUse) {
  EXPECT_NE(std::error_code{Errc::kMoved}.message().find("redis+cluster://"), std::string::npos);
}

TEST(ErrorCode, BelongsToTollgate) {
  const std::error_code code = Errc::kTimeout;
  EXPECT_STREQ(code.category().name(), "tollgate");
  EXPECT_EQ(code.message(), "the deadline passed");
  EXPECT_EQ((std::error_code{999, error_category()}.message()), "unknown error");
}

TEST(ErrorCode, IsAStandardTimeoutToo) {
  EXPECT_TRUE(std::error_code{Errc::kTimeout} == std::errc::timed_out);
  EXPECT_FALSE(std::error_code{Errc::kProtocol} == std::errc::timed_out);
}

TEST(ErrorCode, HasAMessageOfItsOwnForEachMeaning) {
  std::set<std::string> messages;
  const int last = static_cast<int>(Errc::kOverflow);
  for (int code = 1; code <= last; ++code) messages.insert(error_category().message(code));
  EXPECT_EQ(messages.size(), static_cast<std::size_t>(last));
  EXPECT_EQ(messages.count("unknown error"), 0U);
}

}  // namespace
}  // namespace tollgate
