// The header fields of a BudgetLimiter's decisions. What they have in common with others is in http_headers_test.cpp.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "tollgate/error.hpp"
#include "tollgate/http_headers.hpp"
#include "tollgate/testing/manual_clock.hpp"
#include "unit/doors/http_headers_test.hpp"
#include "unit/values/error_text.hpp"

namespace tollgate {

namespace {

using namespace std::chrono_literals;
using enum HeaderDialect;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

HeaderOptions exact() {
  return {.request_limits = {"rpm"},
          .token_limits = {"tpm", "tokens-per-day"},
          .max_jitter = 0ms,
          .clock = std::make_shared<const tollgate::testing::ManualClock>()};
}

const std::vector<Charge> kCharges{{"rpm", "key_1"}, {"tpm", "key_1", 500}, {"tokens-per-day", "team_7", 500}};

BudgetDecision allowed() {
  BudgetDecision decision{.allowed = true};
  decision.states.push_back({.limit = "rpm", .max = 100, .remaining = 41, .reset_after = 20'000ms});
  decision.states.push_back({.limit = "tpm",
                             .window = Window::token_bucket(60s),
                             .max = 40'000,
                             .remaining = 12'000,
                             .reset_after = 42'000ms});
  decision.states.push_back({.limit = "tokens-per-day",
                             .window = Window::utc_day(),
                             .max = 2'000'000,
                             .remaining = 900'000,
                             .reset_after = 5h});
  return decision;
}

/// The bucket has 12'000 tokens, and more after 1.5 s.
BudgetDecision denied() {
  BudgetDecision decision = allowed();
  LimitStates states;
  for (LimitState state : decision.states) {
    if (state.limit == "tpm") state.refuses = true, state.retry_after = 1500ms;
    states.push_back(state);
  }
  return {.refused_by = 1, .retry_after = 1500ms, .states = states};
}

BudgetDecision of(const LimitState& state) {
  BudgetDecision decision{.allowed = !state.refuses};
  decision.states.push_back(state);
  return decision;
}

TEST(BudgetHeaders, OfTheIetfListEachLimit) {
  EXPECT_THAT(
      rate_limit_headers(allowed(), kIetf, exact()),
      ElementsAre(
          HttpHeader{"ratelimit-policy", R"("rpm";q=100;w=60, "tpm";q=40000;w=60, "tokens-per-day";q=2000000;w=86400)"},
          HttpHeader{"ratelimit", R"("rpm";r=41;t=20, "tpm";r=12000;t=42, "tokens-per-day";r=900000;t=18000)"}));
}

TEST(BudgetHeaders, OfARefusingBucketSayWhenTheRequestFits) {
  EXPECT_THAT(
      rate_limit_headers(denied(), kIetf, exact()),
      ElementsAre(::testing::_,
                  HttpHeader{"ratelimit", R"("rpm";r=41;t=20, "tpm";r=12000;t=2, "tokens-per-day";r=900000;t=18000)"},
                  HttpHeader{"retry-after", "2"}));
}

TEST(BudgetHeaders, OfOpenAiShowTheMostRestrictiveLimitOfEachUnit) {
  EXPECT_THAT(
      rate_limit_headers(denied(), kOpenAi, exact()),
      ElementsAre(HttpHeader{"x-ratelimit-limit-requests", "100"}, HttpHeader{"x-ratelimit-remaining-requests", "41"},
                  HttpHeader{"x-ratelimit-reset-requests", "20s"}, HttpHeader{"x-ratelimit-limit-tokens", "40000"},
                  HttpHeader{"x-ratelimit-remaining-tokens", "12000"}, HttpHeader{"x-ratelimit-reset-tokens", "42s"},
                  HttpHeader{"retry-after", "2"}, HttpHeader{"retry-after-ms", "1500"}));
}

TEST(BudgetHeaders, OfAnthropicShowTheMostRestrictiveLimitOfEachUnit) {
  EXPECT_THAT(rate_limit_headers(allowed(), kAnthropic, exact()),
              ElementsAre(HttpHeader{"anthropic-ratelimit-requests-limit", "100"},
                          HttpHeader{"anthropic-ratelimit-requests-remaining", "41"},
                          HttpHeader{"anthropic-ratelimit-requests-reset", "2026-01-01T00:00:20Z"},
                          HttpHeader{"anthropic-ratelimit-tokens-limit", "40000"},
                          HttpHeader{"anthropic-ratelimit-tokens-remaining", "12000"},
                          HttpHeader{"anthropic-ratelimit-tokens-reset", "2026-01-01T00:00:42Z"}));
}

TEST(BudgetHeaders, OfAnthropicAndOpenAiShowNoLimitWhoseUnitIsNotGiven) {
  for (const HeaderDialect dialect : {kOpenAi, kAnthropic}) {
    EXPECT_THAT(rate_limit_headers(allowed(), dialect, {.max_jitter = 0ms}), IsEmpty());
  }
}

TEST(BudgetHeaders, NameEachSubjectByAnHmacWhenThereIsASecret) {
  HeaderOptions options = exact();
  options.partition_secret = "a secret of 24 bytes....";
  const auto headers = rate_limit_headers(allowed(), kIetf, options, kCharges);
  // printf key_1 | openssl dgst -sha256 -hmac 'a secret of 24 bytes....' -binary | head -c 16 | base64
  const std::string key = ";pk=:MTNQICaygflixarm1hu/ZA==:";
  const std::string team = ";pk=:Br0XnfieyNfjUgLxnYuOCQ==:";
  EXPECT_EQ(headers.at(1), (HttpHeader{"ratelimit", R"("rpm";r=41;t=20)" + key + R"(, "tpm";r=12000;t=42)" + key +
                                                        R"(, "tokens-per-day";r=900000;t=18000)" + team}));
  EXPECT_THAT(headers.at(0).value, HasSubstr(R"("tokens-per-day";q=2000000;w=86400)" + team));
  EXPECT_THAT(rate_limit_headers(allowed(), kIetf, options).at(1).value, Not(HasSubstr("pk=")));
}

TEST(BudgetHeaders, ListWhatSeveralChargesShareOnce) {
  BudgetDecision decision{.allowed = true};
  const LimitState state{.limit = "tpm", .max = 10, .remaining = 4, .reset_after = 1s};
  decision.states.push_back(state);
  decision.states.push_back(state);
  EXPECT_THAT(
      rate_limit_headers(decision, kIetf, exact()),
      ElementsAre(HttpHeader{"ratelimit-policy", R"("tpm";q=10;w=60)"}, HttpHeader{"ratelimit", R"("tpm";r=4;t=1)"}));
}

TEST(BudgetHeaders, OfAConcurrentLimitHaveItsRegisteredUnitAndNoWindow) {
  const auto headers = rate_limit_headers(
      of({.limit = "running", .window = Window::concurrent(30s), .max = 8, .remaining = 3, .reset_after = 29s}), kIetf,
      exact());
  EXPECT_EQ(headers.at(0).value, R"("running";q=8;qu="concurrent-requests")");
  EXPECT_EQ(headers.at(1).value, R"("running";r=3;t=29)");
}

TEST(BudgetHeaders, OfAMonthHaveNoWindow) {
  const auto headers = rate_limit_headers(
      of({.limit = "month", .window = Window::utc_month(), .max = 8, .remaining = 3, .reset_after = 29s}), kIetf,
      exact());
  EXPECT_EQ(headers.at(0).value, R"("month";q=8)");
}

TEST(BudgetHeaders, LeaveOutALimitInShadowModeThatWouldRefuse) {
  const BudgetDecision decision = of({.limit = "tpm", .max = 10, .remaining = 0, .would_refuse = true});
  for (const HeaderDialect dialect : {kIetf, kOpenAi, kAnthropic}) {
    EXPECT_THAT(rate_limit_headers(decision, dialect, exact()), IsEmpty());
  }
}

TEST(BudgetHeaders, OfAFailureHaveNeitherRemainderNorResetNorRetryAfter) {
  BudgetDecision decision = of({.limit = "tpm", .max = 10, .refuses = true, .retry_after = std::nullopt});
  decision.source = Source::kFallback;
  decision.failure = make_error_code(Errc::kTimeout);
  EXPECT_THAT(rate_limit_headers(decision, kIetf, exact()),
              ElementsAre(HttpHeader{"ratelimit-policy", R"("tpm";q=10;w=60)"}));
  EXPECT_THAT(rate_limit_headers(decision, kOpenAi, exact()),
              ElementsAre(HttpHeader{"x-ratelimit-limit-tokens", "10"}));
  EXPECT_THAT(rate_limit_headers(decision, kAnthropic, exact()),
              ElementsAre(HttpHeader{"anthropic-ratelimit-tokens-limit", "10"}));
  EXPECT_EQ(rate_limit_problem(decision).status, 503);
}

TEST(BudgetHeaders, OfWhatNeverFitsHaveNoRetryAfter) {
  const BudgetDecision decision = of({.limit = "tpm", .max = 10, .refuses = true, .retry_after = std::nullopt});
  EXPECT_THAT(rate_limit_headers(decision, kOpenAi, exact()),
              ElementsAre(HttpHeader{"x-ratelimit-limit-tokens", "10"}, HttpHeader{"x-should-retry", "false"}));
}

TEST(BudgetHeaders, OfARefusedArgumentAreNone) {
  const BudgetDecision decision{.source = Source::kLocal, .failure = std::make_error_code(std::errc::invalid_argument)};
  EXPECT_THAT(rate_limit_headers(decision, kIetf, exact(), kCharges), IsEmpty());
}

TEST(BudgetHeaders, RefuseTheChargesOfAnotherRequest) {
  EXPECT_EQ(
      rejection([] { std::ignore = rate_limit_headers(allowed(), kIetf, exact(), std::span{kCharges}.first(2)); }),
      "tollgate: charges has 2 elements; it must have none or the 3 of the decision");
}

TEST(BudgetProblem, NamesTheLimitsThatRefuse) {
  const HttpProblem problem = rate_limit_problem(denied());
  EXPECT_EQ(problem.status, 429);
  EXPECT_THAT(problem.body, HasSubstr(R"("status":429,"violated-policies":["tpm"]})"));
  EXPECT_THAT(rejection([] { std::ignore = rate_limit_problem(allowed()); }), HasSubstr("decision is allowed"));
}

}  // namespace
}  // namespace tollgate
