#include "values/arguments.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>

#include "tollgate/call_options.hpp"
#include "tollgate/rate_limit_config.hpp"
#include "unit/values/error_text.hpp"

namespace tollgate::detail {
namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

template <class Change>
std::string rejected_config(Change change) {
  RateLimitConfig config;
  change(config);
  return rejection([&] { check_config(config); });
}

template <class Change>
void accept_config(Change change) {
  RateLimitConfig config;
  change(config);
  EXPECT_NO_THROW(check_config(config));
}

TEST(Printable, IsTheTextInQuotes) {
  EXPECT_EQ(printable("user_42"), "\"user_42\"");
  EXPECT_EQ(printable(""), "\"\"");
  EXPECT_EQ(printable(" ~"), "\" ~\"");
}

TEST(Printable, ShowsHostileBytesAsHex) {
  EXPECT_EQ(printable("\n\r\t\x1b[31m"), R"("\x0a\x0d\x09\x1b[31m")");
  EXPECT_EQ(printable("\0\x7f\x80\xff"s), R"("\x00\x7f\x80\xff")");
  EXPECT_EQ(printable("\"\\"), R"("\x22\x5c")");
  EXPECT_EQ(printable("%n{}"), "\"%n{}\"");
}

TEST(Printable, ShortensWhatIsLong) {
  EXPECT_EQ(printable(std::string(40, 'x')), '"' + std::string(40, 'x') + '"');
  EXPECT_EQ(printable(std::string(41, 'x')), '"' + std::string(40, 'x') + "…\"");
  EXPECT_LT(printable(std::string(1'000'000, '\xff')).size(), 200U);
}

TEST(CheckConfig, AcceptsTheDefaults) { EXPECT_NO_THROW(check_config({})); }

TEST(CheckConfig, BoundsTheLimit) {
  for (const std::int64_t limit : {std::int64_t{1}, kMaxTokens}) {
    accept_config([limit](auto& config) { config.max_tokens_per_minute = limit; });
  }
  EXPECT_EQ(rejected_config([](auto& config) { config.max_tokens_per_minute = 0; }),
            "tollgate: max_tokens_per_minute is 0; it must be 1 … 9007199254740991");
  EXPECT_THAT(rejected_config([](auto& config) { config.max_tokens_per_minute = -5; }), HasSubstr("is -5;"));
  EXPECT_THAT(rejected_config([](auto& config) { config.max_tokens_per_minute = kMaxTokens + 1; }),
              HasSubstr("max_tokens_per_minute is 9007199254740992;"));
}

TEST(CheckConfig, BoundsThePrefix) {
  accept_config([](auto& config) { config.key_prefix = ""; });
  accept_config([](auto& config) { config.key_prefix = std::string(512, '\0'); });
  EXPECT_THAT(rejected_config([](auto& config) { config.key_prefix = std::string(513, 'p'); }),
              AllOf(HasSubstr("key_prefix is 513 bytes long"), HasSubstr("it must be 0 … 512 bytes")));
}

TEST(CheckConfig, BoundsTheDenyMemory) {
  for (const auto duration : {0ms, 60'000ms}) {
    accept_config([duration](auto& config) { config.deny_memory = duration; });
  }
  EXPECT_EQ(rejected_config([](auto& config) { config.deny_memory = -1ms; }),
            "tollgate: deny_memory (ms) is -1; it must be 0 … 60000");
  EXPECT_THAT(rejected_config([](auto& config) { config.deny_memory = 60'001ms; }), HasSubstr("is 60001;"));
}

TEST(CheckConfig, RejectsUnknownEnumerators) {
  for (const auto policy :
       {FailurePolicy::kThrow, FailurePolicy::kAllow, FailurePolicy::kDeny, FailurePolicy::kLocalShare}) {
    accept_config([policy](auto& config) { config.on_failure = policy; });
  }
  accept_config([](auto& config) { config.admission = Admission::kAtomic; });
  EXPECT_THAT(rejected_config([](auto& config) { config.admission = static_cast<Admission>(2); }),
              HasSubstr("admission is 2; it must be kPipelined or kAtomic"));
  EXPECT_THAT(rejected_config([](auto& config) { config.on_failure = static_cast<FailurePolicy>(4); }),
              HasSubstr("on_failure is 4; it must be kThrow, kAllow, kDeny or kLocalShare"));
}

TEST(CheckConfig, BoundsTheLocalShareByTheLimit) {
  for (const std::int64_t share : {std::int64_t{0}, RateLimitConfig{}.max_tokens_per_minute}) {
    accept_config([share](auto& config) { config.local_share = share; });
  }
  for (const std::int64_t share : {std::int64_t{-1}, RateLimitConfig{}.max_tokens_per_minute + 1}) {
    EXPECT_THAT(rejected_config([share](auto& config) { config.local_share = share; }),
                HasSubstr("local_share is " + std::to_string(share) + "; it must be 0 … 10000"));
  }
}

TEST(CheckConfig, BoundsTheTokenSecretWithoutShowingIt) {
  for (const std::size_t size : {std::size_t{0}, std::size_t{16}, std::size_t{512}}) {
    accept_config([size](auto& config) { config.token_secret = std::string(size, 's'); });
  }
  EXPECT_EQ(rejected_config([](auto& config) { config.token_secret = "hunter2"; }),
            "tollgate: token_secret is 7 bytes long; it must be 0 or 16 … 512 bytes");
  EXPECT_THAT(rejected_config([](auto& config) { config.token_secret = std::string(513, 's'); }),
              AllOf(HasSubstr("513 bytes"), Not(HasSubstr("sss"))));
}

TEST(CheckUserId, TakesAnyBytesWithinItsLength) {
  for (const std::string& user_id : {"u"s, std::string(512, '\xff'), "\0"s, "*"s, "a:b"s, "{x}"s, " "s}) {
    EXPECT_NO_THROW(check_user_id(user_id));
  }
}

TEST(CheckUserId, NamesTheErrorInInvalidIds) {
  EXPECT_EQ(rejection([] { check_user_id(""); }), "tollgate: user_id is 0 bytes long; it must be 1 … 512 bytes");
  const std::string message = rejection([] { check_user_id(std::string(1'000'000, '\n')); });
  EXPECT_THAT(message, AllOf(HasSubstr("user_id is 1000000 bytes long"), HasSubstr("1 … 512 bytes")));
  EXPECT_LT(message.size(), 300U);
}

TEST(CheckTokens, NamesTheFieldItsValueAndItsRange) {
  EXPECT_NO_THROW(check_tokens("tokens", 0));
  EXPECT_NO_THROW(check_tokens("tokens", kMaxTokens));
  EXPECT_EQ(rejection([] { check_tokens("tokens", -1); }), "tollgate: tokens is -1; it must be 0 … 9007199254740991");
  EXPECT_THAT(rejection([] { check_tokens("actual_tokens", kMaxTokens + 1); }),
              HasSubstr("actual_tokens is 9007199254740992;"));
  EXPECT_THAT(rejection([] { check_tokens("tokens", std::numeric_limits<std::int64_t>::min()); }),
              HasSubstr("is -9223372036854775808;"));
}

TEST(CheckOptions, TakesAnOperationIdUnderAtomicAdmissionOnly) {
  const RateLimitConfig pipelined;
  const RateLimitConfig atomic{.admission = Admission::kAtomic};
  EXPECT_NO_THROW(check_options({}, pipelined));
  EXPECT_NO_THROW(check_options({.operation_id = "op-1"}, atomic));
  EXPECT_EQ(rejection([&] { check_options({.operation_id = "op-1"}, pipelined); }),
            "tollgate: operation_id is set, but needs admission kAtomic");
}

TEST(CheckOptions, BoundsTheOperationId) {
  const RateLimitConfig atomic{.admission = Admission::kAtomic};
  const std::string longest(128, '\xff');
  const std::string too_long(129, 'x');
  EXPECT_NO_THROW(check_options({.operation_id = longest}, atomic));
  EXPECT_THAT(rejection([&] { check_options({.operation_id = ""}, atomic); }),
              HasSubstr("operation_id is 0 bytes long; it must be 1 … 128 bytes"));
  EXPECT_THAT(rejection([&] { check_options({.operation_id = too_long}, atomic); }),
              HasSubstr("operation_id is 129 bytes long"));
}

}  // namespace
}  // namespace tollgate::detail
