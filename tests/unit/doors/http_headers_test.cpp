#include "tollgate/http_headers.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "doors/header_dialects.hpp"
#include "tollgate/error.hpp"
#include "tollgate/rate_limit_config.hpp"
#include "tollgate/testing/manual_clock.hpp"
#include "unit/doors/http_headers_test.hpp"
#include "unit/values/error_text.hpp"

namespace tollgate {

namespace {

using namespace std::chrono_literals;
using enum HeaderDialect;
using std::chrono::milliseconds;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;
using ::testing::Not;

Decision allowed() { return {.allowed = true, .limit = 5000, .remaining = 3800, .reset_after = 31'001ms}; }

Decision denied() { return {.limit = 5000, .remaining = 120, .retry_after = 31'001ms, .reset_after = 31'001ms}; }

Decision never_fits() { return {.limit = 5000, .reset_after = 31'001ms, .source = Source::kLocal}; }

Decision failed(bool allows) {
  return {.allowed = allows,
          .limit = 5000,
          .reset_after = 31'001ms,
          .source = Source::kFallback,
          .failure = make_error_code(Errc::kTimeout)};
}

/// Without jitter, at 2026-01-01 00:00:00.
HeaderOptions exact() { return {.max_jitter = 0ms, .clock = std::make_shared<const tollgate::testing::ManualClock>()}; }

std::vector<HttpHeader> headers(const Decision& decision, HeaderDialect dialect, std::string_view user_id = {}) {
  return rate_limit_headers(decision, dialect, exact(), user_id);
}

std::string value_of(const std::vector<HttpHeader>& headers, std::string_view name) {
  for (const HttpHeader& header : headers) {
    if (header.name == name) return header.value;
  }
  return "not sent";
}

TEST(IetfHeaders, OfAnAllowedRequestArePolicyAndState) {
  EXPECT_THAT(headers(allowed(), kIetf),
              ElementsAre(HttpHeader{"ratelimit-policy", R"("tokens-per-minute";q=5000;w=60)"},
                          HttpHeader{"ratelimit", R"("tokens-per-minute";r=3800;t=32)"}));
}

TEST(IetfHeaders, OfADenialHaveARetryAfterThatIsNotBeforeTheReset) {
  EXPECT_THAT(
      headers(denied(), kIetf),
      ElementsAre(HttpHeader{"ratelimit-policy", R"("tokens-per-minute";q=5000;w=60)"},
                  HttpHeader{"ratelimit", R"("tokens-per-minute";r=120;t=32)"}, HttpHeader{"retry-after", "32"}));
}

TEST(IetfHeaders, WithoutAKnownRemainderHaveNoState) {
  Decision decision = denied();
  decision.remaining.reset();
  EXPECT_THAT(headers(decision, kIetf),
              ElementsAre(HttpHeader{"ratelimit-policy", R"("tokens-per-minute";q=5000;w=60)"},
                          HttpHeader{"retry-after", "32"}));
}

TEST(IetfHeaders, SendTheLargestIntegerOfStructuredFieldsForLargerQuotas) {
  const Decision decision{.allowed = true, .limit = kMaxTokens, .remaining = kMaxTokens - 1, .reset_after = 60'000ms};
  EXPECT_THAT(headers(decision, kIetf),
              ElementsAre(HttpHeader{"ratelimit-policy", R"("tokens-per-minute";q=999999999999999;w=60)"},
                          HttpHeader{"ratelimit", R"("tokens-per-minute";r=999999999999999;t=60)"}));
}

TEST(IetfHeaders, EscapeThePolicysName) {
  HeaderOptions options = exact();
  options.policy = R"(a";q=0, "b\)";
  EXPECT_EQ(rate_limit_headers(allowed(), kIetf, options).at(1),
            (HttpHeader{"ratelimit", R"("a\";q=0, \"b\\";r=3800;t=32)"}));
}

TEST(IetfHeaders, NameTheUserByAnHmacWhenThereIsASecret) {
  HeaderOptions options = exact();
  options.partition_secret = "a secret of 24 bytes....";
  // printf user_42 | openssl dgst -sha256 -hmac 'a secret of 24 bytes....' -binary | head -c 16 | base64
  const std::string key = ";pk=:MiK4uIStIaHukb9fiWOENQ==:";
  EXPECT_THAT(rate_limit_headers(allowed(), kIetf, options, "user_42"),
              ElementsAre(HttpHeader{"ratelimit-policy", R"("tokens-per-minute";q=5000;w=60)" + key},
                          HttpHeader{"ratelimit", R"("tokens-per-minute";r=3800;t=32)" + key}));
  EXPECT_NE(value_of(rate_limit_headers(allowed(), kIetf, options, "user_43"), "ratelimit"),
            R"("tokens-per-minute";r=3800;t=32)" + key);
  options.partition_secret.back() = '!';
  EXPECT_NE(value_of(rate_limit_headers(allowed(), kIetf, options, "user_42"), "ratelimit"),
            R"("tokens-per-minute";r=3800;t=32)" + key);
}

TEST(IetfHeaders, NameNoUserWithoutASecret) {
  EXPECT_EQ(headers(allowed(), kIetf, "user_42"), headers(allowed(), kIetf));
}

TEST(IetfHeaders, OfSeveralLimitsAreLists) {
  const DecisionView decision{.limits = {{.name = "requests",
                                          .unit = LimitUnit::kRequests,
                                          .max = 100,
                                          .remaining = 99,
                                          .reset_after = 1ms,
                                          .window = 60s},
                                         {.name = "running",
                                          .unit = LimitUnit::kConcurrentRequests,
                                          .max = 8,
                                          .remaining = 0,
                                          .reset_after = 5000ms,
                                          .refuses = true},
                                         {.name = "unknown", .max = 7, .reset_after = 1s, .window = 86'400s}},
                              .retry_after = 5001ms};
  EXPECT_THAT(
      ietf_headers(decision, {}),
      ElementsAre(HttpHeader{"ratelimit-policy",
                             R"("requests";q=100;w=60, "running";q=8;qu="concurrent-requests", "unknown";q=7;w=86400)"},
                  HttpHeader{"ratelimit", R"("requests";r=99;t=1, "running";r=0;t=5)"},
                  HttpHeader{"retry-after", "6"}));
}

TEST(OpenAiHeaders, OfAnAllowedRequest) {
  EXPECT_THAT(headers(allowed(), kOpenAi), ElementsAre(HttpHeader{"x-ratelimit-limit-tokens", "5000"},
                                                       HttpHeader{"x-ratelimit-remaining-tokens", "3800"},
                                                       HttpHeader{"x-ratelimit-reset-tokens", "31.001s"}));
}

TEST(OpenAiHeaders, OfADenialHaveBothRetryAfters) {
  EXPECT_THAT(
      headers(denied(), kOpenAi),
      ElementsAre(HttpHeader{"x-ratelimit-limit-tokens", "5000"}, HttpHeader{"x-ratelimit-remaining-tokens", "120"},
                  HttpHeader{"x-ratelimit-reset-tokens", "31.001s"}, HttpHeader{"retry-after", "32"},
                  HttpHeader{"retry-after-ms", "31001"}));
}

TEST(OpenAiHeaders, OfWhatNeverFitsSayThatRetryingIsUseless) {
  EXPECT_THAT(headers(never_fits(), kOpenAi),
              ElementsAre(HttpHeader{"x-ratelimit-limit-tokens", "5000"},
                          HttpHeader{"x-ratelimit-reset-tokens", "31.001s"}, HttpHeader{"x-should-retry", "false"}));
}

TEST(OpenAiHeaders, HaveDecimalNumbersOfAnySize) {
  const Decision decision{.allowed = true, .limit = kMaxTokens, .remaining = kMaxTokens, .reset_after = 60'000ms};
  EXPECT_THAT(headers(decision, kOpenAi),
              IsSupersetOf({HttpHeader{"x-ratelimit-limit-tokens", "9007199254740991"},
                            HttpHeader{"x-ratelimit-remaining-tokens", "9007199254740991"}}));
}

TEST(OpenAiHeaders, SpellDurationsAsOpenAiDoes) {
  const auto spelled = [](milliseconds reset_after) {
    return value_of(openai_headers({.limits = {{.max = 1, .remaining = 0, .reset_after = reset_after}}}),
                    "x-ratelimit-reset-tokens");
  };
  EXPECT_EQ(spelled(0ms), "0s");
  EXPECT_EQ(spelled(1ms), "1ms");
  EXPECT_EQ(spelled(999ms), "999ms");
  EXPECT_EQ(spelled(1000ms), "1s");
  EXPECT_EQ(spelled(1500ms), "1.5s");
  EXPECT_EQ(spelled(10'010ms), "10.01s");
  EXPECT_EQ(spelled(360'000ms), "6m0s");
  EXPECT_EQ(spelled(499'200ms), "8m19.2s");
  EXPECT_EQ(spelled(3'600'000ms), "1h0m0s");
  EXPECT_EQ(spelled(31 * 24h + 61s), "744h1m1s");
}

TEST(OpenAiHeaders, ShowTheMostRestrictiveLimitOfEachUnit) {
  const LimitView requests{.name = "rpm", .unit = LimitUnit::kRequests, .max = 100, .remaining = 40, .reset_after = 1s};
  const LimitView day{.name = "day", .max = 900, .remaining = 10, .reset_after = 5h};
  LimitView minute{.name = "minute", .max = 50, .remaining = 30, .reset_after = 9s};
  const LimitView other{.name = "running", .unit = LimitUnit::kOther, .max = 8, .remaining = 0, .reset_after = 1s};
  EXPECT_THAT(
      openai_headers({.limits = {requests, minute, day, other}}),
      ElementsAre(HttpHeader{"x-ratelimit-limit-requests", "100"}, HttpHeader{"x-ratelimit-remaining-requests", "40"},
                  HttpHeader{"x-ratelimit-reset-requests", "1s"}, HttpHeader{"x-ratelimit-limit-tokens", "900"},
                  HttpHeader{"x-ratelimit-remaining-tokens", "10"}, HttpHeader{"x-ratelimit-reset-tokens", "5h0m0s"}));
  minute.refuses = true;
  EXPECT_EQ(value_of(openai_headers({.limits = {day, minute}}), "x-ratelimit-limit-tokens"), "50");
  minute.remaining.reset();
  EXPECT_EQ(value_of(openai_headers({.limits = {day, minute}}), "x-ratelimit-limit-tokens"), "50");
}

TEST(AnthropicHeaders, OfAnAllowedRequest) {
  EXPECT_THAT(headers(allowed(), kAnthropic),
              ElementsAre(HttpHeader{"anthropic-ratelimit-tokens-limit", "5000"},
                          HttpHeader{"anthropic-ratelimit-tokens-remaining", "3800"},
                          HttpHeader{"anthropic-ratelimit-tokens-reset", "2026-01-01T00:00:32Z"}));
}

TEST(AnthropicHeaders, OfADenialHaveARetryAfter) {
  EXPECT_THAT(headers(denied(), kAnthropic),
              ElementsAre(HttpHeader{"anthropic-ratelimit-tokens-limit", "5000"},
                          HttpHeader{"anthropic-ratelimit-tokens-remaining", "120"},
                          HttpHeader{"anthropic-ratelimit-tokens-reset", "2026-01-01T00:00:32Z"},
                          HttpHeader{"retry-after", "32"}));
}

TEST(AnthropicHeaders, OfWhatNeverFitsSayThatRetryingIsUseless) {
  EXPECT_THAT(headers(never_fits(), kAnthropic),
              ElementsAre(HttpHeader{"anthropic-ratelimit-tokens-limit", "5000"},
                          HttpHeader{"anthropic-ratelimit-tokens-reset", "2026-01-01T00:00:32Z"},
                          HttpHeader{"x-should-retry", "false"}));
}

TEST(AnthropicHeaders, RoundInstantsUpAcrossTheEndOfAYearAndBeforeTheEpoch) {
  const auto reset = [](std::chrono::system_clock::time_point now, milliseconds reset_after) {
    return value_of(anthropic_headers({.limits = {{.max = 1, .remaining = 0, .reset_after = reset_after}}}, now),
                    "anthropic-ratelimit-tokens-reset");
  };
  const std::chrono::system_clock::time_point year{tollgate::testing::ManualClock::kStart};
  EXPECT_EQ(reset(year - 1ns, 0ms), "2026-01-01T00:00:00Z");
  EXPECT_EQ(reset(year, 0ms), "2026-01-01T00:00:00Z");
  EXPECT_EQ(reset(year, 1ms), "2026-01-01T00:00:01Z");
  EXPECT_EQ(reset(year + 58 * 24h, 24h), "2026-03-01T00:00:00Z");
  EXPECT_EQ(reset({}, -1000ms), "1969-12-31T23:59:59Z");
}

TEST(RateLimitHeaders, OfAFailureHaveNeitherRemainderNorRetryAfter) {
  for (const bool allows : {true, false}) {
    EXPECT_THAT(headers(failed(allows), kIetf),
                ElementsAre(HttpHeader{"ratelimit-policy", R"("tokens-per-minute";q=5000;w=60)"}));
    EXPECT_THAT(headers(failed(allows), kOpenAi), ElementsAre(HttpHeader{"x-ratelimit-limit-tokens", "5000"},
                                                              HttpHeader{"x-ratelimit-reset-tokens", "31.001s"}));
    EXPECT_THAT(headers(failed(allows), kAnthropic),
                ElementsAre(HttpHeader{"anthropic-ratelimit-tokens-limit", "5000"},
                            HttpHeader{"anthropic-ratelimit-tokens-reset", "2026-01-01T00:00:32Z"}));
  }
}

TEST(RateLimitHeaders, OfWhatNeverFitsHaveNoRetryAfter) {
  EXPECT_THAT(headers(never_fits(), kIetf),
              ElementsAre(HttpHeader{"ratelimit-policy", R"("tokens-per-minute";q=5000;w=60)"}));
}

TEST(RateLimitHeaders, AddJitterOfAtMostItsMaximum) {
  HeaderOptions options;  // 5 s
  std::uint64_t bits = 0;
  options.random = [&bits] { return bits; };
  const auto delay = [&] { return value_of(rate_limit_headers(denied(), kOpenAi, options), "retry-after-ms"); };
  EXPECT_EQ(delay(), "31001");
  bits = 5000;
  EXPECT_EQ(delay(), "36001");
  bits = 5001;
  EXPECT_EQ(delay(), "31001");
  bits = std::numeric_limits<std::uint64_t>::max();
  EXPECT_EQ(delay(), std::to_string(31'001 + bits % 5001));
  bits = 4000;
  EXPECT_EQ(value_of(rate_limit_headers(denied(), kIetf, options), "retry-after"), "36") << "35.001 s, rounded up";
}

TEST(RateLimitHeaders, KeepTheDelayWithinWhatTheSdksAccept) {
  HeaderOptions options;
  options.random = [] { return std::uint64_t{2000}; };
  const auto delay = [&](milliseconds retry_after, HeaderDialect dialect) {
    const Decision decision{.limit = 1, .retry_after = retry_after, .reset_after = retry_after};
    return value_of(rate_limit_headers(decision, dialect, options), "retry-after");
  };
  EXPECT_EQ(delay(58'000ms, kOpenAi), "60");
  EXPECT_EQ(delay(59'000ms, kOpenAi), "60") << "2000 modulo the 1001 delays that are left";
  EXPECT_EQ(delay(59'000ms, kAnthropic), "60");
  EXPECT_EQ(delay(60'000ms, kAnthropic), "60");
  EXPECT_EQ(delay(59'000ms, kIetf), "61");
  EXPECT_EQ(delay(70'000ms, kOpenAi), "72") << "too long for the older SDKs anyhow";
}

TEST(RateLimitHeaders, DrawJitterForADenialAlone) {
  HeaderOptions options;
  int drawn = 0;
  options.random = [&drawn] { return static_cast<std::uint64_t>(++drawn); };
  for (const Decision& decision : {allowed(), never_fits(), failed(false)}) {
    EXPECT_FALSE(rate_limit_headers(decision, kIetf, options).empty());
  }
  EXPECT_EQ(drawn, 0);
  EXPECT_FALSE(rate_limit_headers(denied(), kIetf, options).empty());
  EXPECT_EQ(drawn, 1);
}

TEST(RateLimitHeaders, DrawDifferentDelaysByDefault) {
  std::vector<std::string> delays;
  for (int i = 0; i < 20; ++i) {
    delays.push_back(value_of(rate_limit_headers(denied(), kOpenAi), "retry-after-ms"));
    EXPECT_THAT(std::stol(delays.back()), AllOf(::testing::Ge(31'001), ::testing::Le(36'001)));
  }
  EXPECT_THAT(delays, Not(::testing::Each(delays.front())));
}

TEST(RateLimitHeaders, RefuseOptionsOutOfRange) {
  const auto refused = [](auto change) {
    HeaderOptions options;
    change(options);
    return rejection([&] { std::ignore = rate_limit_headers(denied(), kIetf, options); });
  };
  EXPECT_EQ(refused([](auto& options) { options.policy = ""; }),
            R"(tollgate: policy is ""; it must be 1 … 64 bytes of printable ASCII)");
  EXPECT_EQ(refused([](auto& options) { options.policy = "a\r\nset-cookie: b"; }),
            R"(tollgate: policy is "a\x0d\x0aset-cookie: b"; it must be 1 … 64 bytes of printable ASCII)");
  EXPECT_THAT(refused([](auto& options) { options.policy = "\xc3\xa9"; }), HasSubstr(R"(policy is "\xc3\xa9")"));
  EXPECT_THAT(refused([](auto& options) { options.policy = std::string(65, 'p'); }), HasSubstr("1 … 64 bytes"));
  EXPECT_EQ(refused([](auto& options) { options.max_jitter = -1ms; }),
            "tollgate: max_jitter (ms) is -1; it must be 0 … 3600000");
  EXPECT_THAT(refused([](auto& options) { options.max_jitter = 3'600'001ms; }),
              HasSubstr("max_jitter (ms) is 3600001"));
  for (const std::size_t size : {std::size_t{15}, std::size_t{513}}) {
    EXPECT_THAT(
        refused([size](auto& options) { options.partition_secret = std::string(size, 's'); }),
        AllOf(HasSubstr("partition_secret is " + std::to_string(size) + " bytes long; it must be 0 or 16 … 512"),
              Not(HasSubstr("sss"))));
  }
  EXPECT_EQ(rejection([] { std::ignore = rate_limit_headers(denied(), static_cast<HeaderDialect>(3)); }),
            "tollgate: dialect is 3; it must be kIetf, kOpenAi or kAnthropic");
}

TEST(RateLimitHeaders, AcceptTheLargestOptions) {
  const HeaderOptions options{.policy = std::string(64, 'p'),
                              .partition_secret = std::string(512, 's'),
                              .max_jitter = 3'600'000ms,
                              .random = [] { return std::uint64_t{3'600'000}; }};
  EXPECT_EQ(value_of(rate_limit_headers(denied(), kIetf, options), "retry-after"), "3632");
}

TEST(RateLimitProblem, NamesThePolicyThatWasExceeded) {
  for (const Decision& decision : {denied(), never_fits()}) {
    const HttpProblem problem = rate_limit_problem(decision);
    EXPECT_EQ(problem.status, 429);
    EXPECT_EQ(problem.body, R"({"type":"https://iana.org/assignments/http-problem-types#quota-exceeded",)"
                            R"("title":"Request cannot be satisfied as assigned quota has been exceeded",)"
                            R"("status":429,"violated-policies":["tokens-per-minute"]})");
  }
}

TEST(RateLimitProblem, EscapesThePolicysName) {
  EXPECT_THAT(rate_limit_problem(denied(), {.policy = R"(a"],"b\)"}).body,
              HasSubstr(R"("violated-policies":["a\"],\"b\\"]})"));
}

TEST(RateLimitProblem, NamesEachLimitThatRefuses) {
  EXPECT_THAT(
      quota_exceeded({.limits = {{.name = "a", .refuses = true}, {.name = "b"}, {.name = "c", .refuses = true}}}).body,
      HasSubstr(R"("violated-policies":["a", "c"]})"));
}

TEST(RateLimitProblem, OfAFailureIsNotTheClients) {
  const HttpProblem problem = rate_limit_problem(failed(false));
  EXPECT_EQ(problem.status, 503);
  EXPECT_EQ(problem.body, R"({"type":"https://iana.org/assignments/http-problem-types#temporary-reduced-capacity",)"
                          R"("title":"Request cannot be satisfied due to temporary server capacity constraints",)"
                          R"("status":503,"violated-policies":[]})");
}

TEST(RateLimitProblem, RefusesAnAllowedDecisionAndABadName) {
  EXPECT_EQ(rejection([] { std::ignore = rate_limit_problem(allowed()); }),
            "tollgate: decision is allowed; a problem is made of one that denies");
  EXPECT_THAT(rejection([] { std::ignore = rate_limit_problem(denied(), {.policy = "\n"}); }),
              HasSubstr(R"(policy is "\x0a")"));
}

}  // namespace
}  // namespace tollgate
