// The round trips and decisions of a BudgetLimiter, the arguments that it refuses, and its behaviour without Redis.

#include "tollgate/budget_limiter.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "tollgate/testing/manual_clock.hpp"
#include "tollgate/testing/mock_redis_client.hpp"
#include "unit/values/error_text.hpp"
#include "values/scripts.hpp"

namespace tollgate {
namespace {

using namespace std::chrono_literals;
using ::testing::_;
using ::testing::DoAll;
using ::testing::ElementsAre;
using testing::error;
using ::testing::HasSubstr;
using testing::integer;
using testing::replies;
using ::testing::Return;
using ::testing::SaveArg;

MATCHER_P(Is, text, "") { return ::testing::PrintToString(arg) == text; }

class EventLog final : public Observer {
 public:
  void on_event(const Event& event) noexcept override { events.push_back(event); }
  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> all;
    for (const Event& event : events) all.emplace_back(to_string(event.kind));
    return all;
  }
  std::vector<Event> events;
};

/// A limiter of 100 requests a minute and 1000 tokens that refill in a minute, over a client of which every call must
/// be expected.
class BudgetLimiterTest : public ::testing::Test {
 protected:
  BudgetLimiterTest() { EXPECT_CALL(*client_, stats).Times(::testing::AnyNumber()); }

  [[nodiscard]] BudgetConfig config() const {
    BudgetConfig made;
    made.limits = {{.name = "requests", .max = 100},
                   {.name = "tokens", .max = 1000, .window = Window::token_bucket(1min)}};
    made.key_prefix = "p";
    made.clock = clock_;
    made.observer = log_;
    return made;
  }
  [[nodiscard]] BudgetConfig with_policy(FailurePolicy policy) const {
    BudgetConfig made = config();
    made.on_failure = policy;
    return made;
  }
  [[nodiscard]] BudgetLimiter limiter() const { return limiter(config()); }
  [[nodiscard]] BudgetLimiter limiter(BudgetConfig with) const { return BudgetLimiter{client_, std::move(with)}; }

  /// The batch of a script on requests of `user`.
  static std::string script(int mode, std::int64_t cost, std::int64_t max = 100, std::int64_t window = -1) {
    return "[EVALSHA budget \"p:{user}:requests\" " + std::to_string(mode) + " 1 0 0 0 " + std::to_string(max) +
           " 60 " + std::to_string(cost) + " " + std::to_string(window) + " 0]";
  }
  /// Its reply.
  static BatchResult answer(bool allowed, std::int64_t remaining, std::int64_t retry = 0, std::int64_t status = 0,
                            std::int64_t max = 100) {
    return replies(
        {testing::array({integer(allowed ? 1 : 0), integer(1'767'225'600'000), integer(allowed ? status : status | 1),
                         integer(max), integer(remaining), integer(30'000), integer(retry), integer(29)})});
  }
  void expect_execute(const std::string& batch, BatchResult result) {
    EXPECT_CALL(*client_, execute(Is(batch), _, _)).WillOnce(Return(std::move(result))).RetiresOnSaturation();
  }
  void expect_charge(std::int64_t cost, BatchResult result) { expect_execute(script(1, cost), std::move(result)); }

  static inline const std::vector<Charge> kOne{{"requests", "user"}};

  std::shared_ptr<::testing::StrictMock<testing::MockRedisClient>> client_ =
      std::make_shared<::testing::StrictMock<testing::MockRedisClient>>();
  std::shared_ptr<testing::ManualClock> clock_ = std::make_shared<testing::ManualClock>();
  std::shared_ptr<EventLog> log_ = std::make_shared<EventLog>();
};

using BudgetLimiterDecides = BudgetLimiterTest;
using BudgetLimiterArguments = BudgetLimiterTest;
using BudgetLimiterRemembers = BudgetLimiterTest;
using BudgetLimiterUnderFailure = BudgetLimiterTest;
using BudgetLimiterOverrides = BudgetLimiterTest;
using BudgetLimiterReports = BudgetLimiterTest;

TEST_F(BudgetLimiterDecides, ChargesAllLimitsInOneRoundTrip) {
  const auto state = [](std::vector<Reply>& all, std::int64_t max, std::int64_t remaining) {
    for (const std::int64_t number :
         {std::int64_t{0}, max, remaining, std::int64_t{9}, std::int64_t{0}, std::int64_t{7}}) {
      all.push_back(integer(number));
    }
  };
  std::vector<Reply> numbers{integer(1), integer(1'767'225'600'000)};
  state(numbers, 100, 99);
  state(numbers, 1000, 700);
  expect_execute("[EVALSHA budget \"p:{key}:requests\" \"p:{team}:tokens\" 1 2 0 0 0 100 60 1 -1 0 2 1000 60 300 -1 0]",
                 replies({testing::array(std::move(numbers))}));
  BudgetLimiter limiter = this->limiter();
  const BudgetDecision decision = limiter.consume({{"requests", "key"}, {"tokens", "team", 300}});
  EXPECT_TRUE(decision);
  ASSERT_EQ(decision.states.size(), 2U);
  EXPECT_EQ(decision.states[1].remaining, 700);
  EXPECT_EQ(limiter.stats().allowed.by_redis, 1U);
}

TEST_F(BudgetLimiterDecides, PreloadsItsScript) {
  struct Preloading final : RedisClient {
    BatchResult execute(const CommandBatch&, Deadline, const std::shared_ptr<ReplyHandler>&) override { return {}; }
    void post(CommandBatch, std::shared_ptr<ReplyHandler>) override {}
    void preload(std::span<const Script* const> scripts) override { preloaded.assign(scripts.begin(), scripts.end()); }
    std::vector<const Script*> preloaded;
  };
  const auto client = std::make_shared<Preloading>();
  const BudgetLimiter limiter{client, config()};
  EXPECT_THAT(client->preloaded, ElementsAre(&kBudgetScript));
}

TEST_F(BudgetLimiterDecides, RefusesTheImpossibleWithoutTouchingTheClient) {
  BudgetLimiter limiter = this->limiter();
  const BudgetDecision decision = limiter.consume({{"requests", "user"}, {"tokens", "user", 1001}});
  EXPECT_FALSE(decision);
  EXPECT_EQ(decision.refused_by, 1U);
  EXPECT_EQ(decision.retry_after, std::nullopt);
  EXPECT_EQ(limiter.stats().denied.locally, 1U);
}

TEST_F(BudgetLimiterDecides, PeeksRecordsAndResets) {
  BudgetLimiter limiter = this->limiter();
  expect_execute(script(0, 5), answer(true, 40));
  EXPECT_EQ(limiter.peek({{"requests", "user", 5}}).states[0].remaining, 40);
  expect_execute(script(2, 500), answer(true, 0));
  limiter.record({{"requests", "user", 500}});
  limiter.record({{"requests", "user", 0}});  // sends nothing
  expect_execute("[UNLINK \"p:{user}:requests\"]", replies({integer(1)}));
  limiter.reset("requests", "user");
}

TEST_F(BudgetLimiterDecides, PassesTheDeadlineOfACallToTheClient) {
  const auto deadline = std::chrono::steady_clock::time_point{5h};
  BudgetLimiter limiter = this->limiter();
  EXPECT_CALL(*client_, execute(_, ::testing::Optional(deadline), _))
      .WillOnce(Return(answer(true, 99)))
      .WillOnce(Return(answer(true, 99)))
      .WillOnce(Return(replies({integer(1)})));
  EXPECT_TRUE(limiter.consume(kOne, {.deadline = deadline}));
  EXPECT_TRUE(limiter.peek(kOne, {.deadline = deadline}));
  limiter.reset("requests", "user", {.deadline = deadline});
}

TEST_F(BudgetLimiterDecides, AnswersManyRequestsInOneRoundTrip) {
  BudgetLimiter limiter = this->limiter();
  const std::vector<BudgetRequest> requests{
      {{{"requests", "user"}}}, {{{"requests", "user", 101}}}, {{{"nothing", "user"}}}, {{{"requests", "user", 2}}}};
  BatchResult both = answer(true, 99);
  both.replies.push_back(answer(false, 1, 5'000).replies[0]);
  EXPECT_CALL(*client_, execute(_, _, _)).WillOnce([&](const CommandBatch& batch, auto, const auto&) {
    EXPECT_EQ(batch.size(), 2U);
    return both;
  });
  const auto decisions = limiter.consume_all(requests);
  ASSERT_EQ(decisions.size(), 4U);
  EXPECT_TRUE(decisions[0]);
  EXPECT_EQ(decisions[1].source, Source::kLocal);
  EXPECT_EQ(decisions[2].failure, std::errc::invalid_argument);
  EXPECT_EQ(decisions[3].retry_after, 5s);
}

TEST_F(BudgetLimiterDecides, SendsAtMostSixtyFourRequestsTogether) {
  BudgetLimiter limiter = this->limiter();
  std::vector<std::size_t> sizes;
  EXPECT_CALL(*client_, execute).Times(2).WillRepeatedly([&](const CommandBatch& batch, auto, const auto&) {
    sizes.push_back(batch.size());
    BatchResult all;
    for (std::size_t i = 0; i < batch.size(); ++i) all.replies.push_back(answer(true, 9).replies[0]);
    return all;
  });
  EXPECT_EQ(limiter.consume_all(std::vector<BudgetRequest>(100, {kOne})).size(), 100U);
  EXPECT_THAT(sizes, ElementsAre(64, 36));
}

// --- arguments -------------------------------------------------------------------------------------------------------

TEST_F(BudgetLimiterArguments, OfTheConfigurationAreRefused) {
  const auto refused = [this](const std::function<void(BudgetConfig&)>& change) {
    BudgetConfig config = this->config();
    change(config);
    return rejection([&] { static_cast<void>(limiter(config)); });
  };
  EXPECT_THAT(refused([](BudgetConfig& c) { c.limits.clear(); }),
              HasSubstr("limits has 0 entries; it must have 1 … 64"));
  EXPECT_THAT(refused([](BudgetConfig& c) { c.limits[1].name = "requests"; }),
              HasSubstr("limits[1].name is \"requests\", as limits[0].name; names must be unique"));
  for (const std::string& name : {std::string{}, std::string(65, 'a'), std::string{"a:b"}, std::string{"max"}}) {
    EXPECT_THAT(refused([&](BudgetConfig& c) { c.limits[0].name = name; }),
                HasSubstr("it must be 1 … 64 bytes of [A-Za-z0-9_.-], and not \"max\""));
  }
  EXPECT_THAT(refused([](BudgetConfig& c) { c.limits[0].max = -1; }),
              HasSubstr("limits[0].max is -1; it must be 0 … 9007199254740991"));
  EXPECT_THAT(refused([](BudgetConfig& c) { c.limits[0].window = Window::concurrent(1s), c.limits[0].max = 1001; }),
              HasSubstr("limits[0].max is 1001; it must be 0 … 1000"));
  EXPECT_THAT(refused([](BudgetConfig& c) { c.limits[0].window = Window::fixed(0s); }),
              HasSubstr("limits[0].window is 0 s long; it must be 1 s … 366 days"));
  EXPECT_THAT(refused([](BudgetConfig& c) { c.limits[0].window = Window::sliding(24h * 367); }),
              HasSubstr("limits[0].window is 31708800 s long"));
  EXPECT_THAT(refused([](BudgetConfig& c) { c.limits[0].warn_at_percent = 101; }),
              HasSubstr("limits[0].warn_at_percent is 101; it must be 0 … 100"));
  EXPECT_THAT(refused([](BudgetConfig& c) { c.limits[0].local_share = 101; }),
              HasSubstr("limits[0].local_share is 101; it must be 0 … 100"));
  EXPECT_THAT(refused([](BudgetConfig& c) { c.key_prefix = "a{b"; }), HasSubstr("it must hold no brace"));
  EXPECT_THAT(refused([](BudgetConfig& c) { c.key_prefix = std::string(513, 'p'); }),
              HasSubstr("key_prefix is 513 bytes long"));
  EXPECT_THAT(refused([](BudgetConfig& c) { c.deny_memory = -1ms; }), HasSubstr("deny_memory (ms) is -1"));
  EXPECT_THAT(refused([](BudgetConfig& c) { c.token_secret = "short"; }), HasSubstr("token_secret is 5 bytes long"));
  EXPECT_THAT(rejection([&] { BudgetLimiter{std::shared_ptr<RedisClient>{}, config()}; }), HasSubstr("client is null"));
}

TEST_F(BudgetLimiterArguments, AreRefusedBeforeAnythingIsSent) {
  BudgetLimiter limiter = this->limiter();
  const std::vector<Charge> bad{{"requests", ""}};
  using Call = std::function<void(const CallOptions&)>;
  for (const Call& call : {Call{[&](const auto& options) { static_cast<void>(limiter.consume(bad, options)); }},
                           Call{[&](const auto& options) { static_cast<void>(limiter.peek(bad, options)); }},
                           Call{[&](const auto& options) { static_cast<void>(limiter.reserve(bad, options)); }},
                           Call{[&](const auto& options) { limiter.record(bad, options); }},
                           Call{[&](const auto& options) { limiter.reset("requests", "", options); }}}) {
    EXPECT_THAT(rejection([&] { call({}); }), HasSubstr("subject is 0 bytes long"));
  }
  EXPECT_THAT(rejection([&] { static_cast<void>(limiter.consume(kOne, {.operation_id = ""})); }),
              HasSubstr("operation_id is 0 bytes long"));
  EXPECT_THAT(rejection([&] { static_cast<void>(limiter.consume_all({}, {.operation_id = "op"})); }),
              HasSubstr("operation_id is set, but consume_all"));
  EXPECT_THAT(rejection([&] { limiter.reset("nothing", "user"); }), HasSubstr("limit is a name of 7 bytes"));
}

TEST_F(BudgetLimiterArguments, OfTryConsumeAreReturnedAsAFailure) {
  BudgetLimiter limiter = this->limiter();
  static_assert(noexcept(limiter.try_consume(kOne)));
  const BudgetDecision decision = limiter.try_consume({{"nothing", "user"}});
  EXPECT_FALSE(decision);
  EXPECT_EQ(decision.failure, std::errc::invalid_argument);
  EXPECT_EQ(decision.source, Source::kLocal);
  EXPECT_TRUE(decision.states.empty());
}

TEST_F(BudgetLimiterArguments, TakeSlotsByReserveAlone) {
  BudgetConfig config = this->config();
  config.limits[0].window = Window::concurrent(30s);
  BudgetLimiter limiter = this->limiter(config);
  EXPECT_THAT(
      rejection([&] { static_cast<void>(limiter.consume(kOne)); }),
      HasSubstr("charges[0].limit is \"requests\", which counts what runs; its slots must be taken by reserve()"));
  EXPECT_CALL(*client_, execute).WillOnce([](const CommandBatch& batch, auto, const auto&) {
    EXPECT_GT(batch[0].integers[8], 0) << "the lease's id";
    return answer(false, 0, 5'000);
  });
  EXPECT_FALSE(limiter.reserve(kOne));
}

TEST_F(BudgetLimiterArguments, OfTokensByKindMakeTheCostOfALimit) {
  BudgetConfig config = this->config();
  config.limits[1].weights = {.output = 4000, .cached = 100};
  const BudgetLimiter limiter = this->limiter(config);
  EXPECT_EQ(limiter.cost_of("requests", {.input = 10, .output = 10, .cached = 10}), 30);
  EXPECT_EQ(limiter.cost_of("tokens", {.input = 10, .output = 10, .cached = 11}), 52);
  EXPECT_THAT(rejection([&] { static_cast<void>(limiter.cost_of("nothing", {})); }), HasSubstr("limit is a name of 7"));
  EXPECT_THAT(rejection([&] { static_cast<void>(limiter.cost_of("tokens", {.cached = -1})); }),
              HasSubstr("usage.cached is -1; it must be 0 … 9007199254740991"));
  config.limits[1].weights.output = 100'001;
  EXPECT_THAT(rejection([&] { static_cast<void>(this->limiter(config)); }),
              HasSubstr("limits[1].weights.output is 100001; it must be 0 … 100000"));
}

TEST_F(BudgetLimiterDecides, WhatTheActionsOfTheMockSay) {
  const auto client = std::make_shared<::testing::NiceMock<testing::MockRedisClient>>();
  BudgetConfig config = this->config();
  config.limits.push_back({.name = "running", .max = 2, .window = Window::concurrent(30s)});
  config.deny_memory = 0ms;
  BudgetLimiter limiter{client, config};
  const std::vector<Charge> charges{{"requests", "user"}, {"tokens", "user", 10}, {"running", "user"}};
  testing::admits(*client);
  EXPECT_TRUE(limiter.reserve(charges));
  testing::denies(*client);
  const BudgetReservation denied = limiter.reserve(charges);
  EXPECT_FALSE(denied);
  for (const LimitState& state : denied.decision().states) EXPECT_EQ(state.remaining, 0);
  testing::fails(*client);
  EXPECT_EQ(limiter.try_consume({{"requests", "user"}}).failure, Errc::kConnectFailed);
}

// --- deny memory -----------------------------------------------------------------------------------------------------

TEST_F(BudgetLimiterRemembers, ARefusalForItsDuration) {
  BudgetLimiter limiter = this->limiter();
  expect_charge(10, answer(false, 4, 30'000));
  EXPECT_EQ(limiter.consume({{"requests", "user", 10}}).retry_after, 30s);
  clock_->advance(999ms);
  const BudgetDecision remembered = limiter.consume({{"requests", "user", 5}});
  EXPECT_FALSE(remembered);
  EXPECT_EQ(remembered.source, Source::kLocal);
  EXPECT_EQ(remembered.retry_after, 29'001ms);
  expect_charge(4, answer(true, 0));
  EXPECT_TRUE(limiter.consume({{"requests", "user", 4}}));
  clock_->advance(1ms);
  expect_charge(5, answer(true, 0));
  EXPECT_TRUE(limiter.consume({{"requests", "user", 5}}));
}

TEST_F(BudgetLimiterRemembers, NotLongerThanUntilTheChargeFits) {
  BudgetLimiter limiter = this->limiter();
  expect_charge(10, answer(false, 4, 200));
  EXPECT_FALSE(limiter.consume({{"requests", "user", 10}}));
  clock_->advance(200ms);
  expect_charge(10, answer(true, 90));
  EXPECT_TRUE(limiter.consume({{"requests", "user", 10}}));
}

TEST_F(BudgetLimiterRemembers, NothingOfARequestWithAnOperationId) {
  BudgetLimiter limiter = this->limiter();
  expect_charge(10, answer(false, 4, 30'000));
  EXPECT_FALSE(limiter.consume({{"requests", "user", 10}}));
  EXPECT_CALL(*client_, execute).WillOnce(Return(answer(true, 9)));
  EXPECT_TRUE(limiter.consume({{"requests", "user", 10}}, {.operation_id = "op"}));
}

TEST_F(BudgetLimiterRemembers, NothingWhenItIsOffOrOverridesAreInRedis) {
  BudgetConfig off = config();
  off.deny_memory = 0ms;
  BudgetConfig in_redis = config();
  in_redis.overrides_in_redis = true;
  for (const BudgetConfig& config : {off, in_redis}) {
    BudgetLimiter limiter = this->limiter(config);
    EXPECT_CALL(*client_, execute).Times(2).WillRepeatedly(Return(answer(false, 4, 30'000)));
    EXPECT_FALSE(limiter.consume({{"requests", "user", 10}}));
    EXPECT_FALSE(limiter.consume({{"requests", "user", 10}}));
  }
}

TEST_F(BudgetLimiterRemembers, NothingAfterAReset) {
  BudgetLimiter limiter = this->limiter();
  expect_charge(10, answer(false, 4, 30'000));
  EXPECT_FALSE(limiter.consume({{"requests", "user", 10}}));
  expect_execute("[UNLINK \"p:{user}:requests\"]", replies({integer(1)}));
  limiter.reset("requests", "user");
  expect_charge(10, answer(true, 90));
  EXPECT_TRUE(limiter.consume({{"requests", "user", 10}}));
}

// --- failures --------------------------------------------------------------------------------------------------------

TEST_F(BudgetLimiterUnderFailure, ThrowsWhatHappened) {
  BudgetLimiter limiter = this->limiter();
  EXPECT_CALL(*client_, execute).WillRepeatedly(Return(testing::failure(Errc::kTimeout, true)));
  EXPECT_THROW(static_cast<void>(limiter.consume(kOne)), TimeoutError);
  EXPECT_THROW(static_cast<void>(limiter.peek(kOne)), TimeoutError);
  EXPECT_THROW(limiter.record(kOne), TimeoutError);
  EXPECT_THROW(limiter.reset("requests", "user"), TimeoutError);
  const BudgetDecision decision = limiter.try_consume(kOne);
  EXPECT_FALSE(decision);
  EXPECT_EQ(decision.failure, Errc::kTimeout);
  EXPECT_EQ(limiter.stats().failed, 4U);
  EXPECT_EQ(limiter.stats().in_doubt, 3U);
  EXPECT_THAT(log_->names(), ElementsAre("fallback entered"));
}

TEST_F(BudgetLimiterUnderFailure, AllowsOrDeniesByPolicy) {
  for (const FailurePolicy policy : {FailurePolicy::kAllow, FailurePolicy::kDeny}) {
    BudgetLimiter limiter = this->limiter(with_policy(policy));
    EXPECT_CALL(*client_, execute).WillOnce(Return(testing::failure(Errc::kConnectFailed)));
    EXPECT_EQ(limiter.consume(kOne).allowed, policy == FailurePolicy::kAllow);
  }
}

TEST_F(BudgetLimiterUnderFailure, GrantsFromTheLocalShareOfEveryLimitOrOfNone) {
  BudgetLimiter limiter = this->limiter(with_policy(FailurePolicy::kLocalShare));  // 10 requests, 100 tokens
  EXPECT_CALL(*client_, execute).WillRepeatedly(Return(testing::failure(Errc::kConnectFailed)));
  EXPECT_CALL(*client_,
              post(Is("[EVALSHA budget \"p:{user}:requests\" \"p:{user}:tokens\" 2 2 0 0 0 100 60 4 -1 0 2 1000 "
                      "60 60 -1 0]"),
                   _));
  EXPECT_TRUE(limiter.consume({{"requests", "user", 4}, {"tokens", "user", 60}}));
  EXPECT_FALSE(limiter.consume({{"requests", "user", 6}, {"tokens", "user", 41}})) << "the share of tokens is used up";
  EXPECT_TRUE(limiter.peek({{"requests", "user", 6}}));
  EXPECT_FALSE(limiter.peek({{"requests", "user", 7}}));
  EXPECT_CALL(*client_, post(Is(script(2, 6)), _));
  EXPECT_TRUE(limiter.consume({{"requests", "user", 6}})) << "the refused request took no share of the requests";
  EXPECT_FALSE(limiter.consume(kOne));
  EXPECT_CALL(*client_, post(_, _));
  clock_->advance(1min);
  EXPECT_TRUE(limiter.consume(kOne));
}

TEST_F(BudgetLimiterUnderFailure, CountsWhatRedisGrantedAgainstTheLocalShare) {
  BudgetLimiter limiter = this->limiter(with_policy(FailurePolicy::kLocalShare));
  expect_charge(9, answer(true, 91));
  EXPECT_TRUE(limiter.consume({{"requests", "user", 9}}));
  EXPECT_CALL(*client_, execute).WillRepeatedly(Return(testing::failure(Errc::kConnectFailed)));
  EXPECT_FALSE(limiter.consume({{"requests", "user", 2}}));
}

TEST_F(BudgetLimiterUnderFailure, GivesBackWhatIsChargedAfterItsCallHasFailed) {
  BudgetLimiter limiter = this->limiter();
  CommandBatch batch;
  std::shared_ptr<ReplyHandler> late;
  EXPECT_CALL(*client_, execute)
      .WillOnce(DoAll(SaveArg<0>(&batch), SaveArg<2>(&late), Return(testing::failure(Errc::kTimeout, true))));
  EXPECT_THROW(static_cast<void>(limiter.consume(kOne)), TimeoutError);
  ASSERT_NE(late, nullptr);
  EXPECT_CALL(*client_, post(Is(script(2, -1, 100, 29)), _));
  late->handle(*client_, batch, answer(true, 99));
}

TEST_F(BudgetLimiterUnderFailure, KeepsALateChargeThatItAllowed) {
  BudgetLimiter limiter = this->limiter(with_policy(FailurePolicy::kAllow));
  EXPECT_CALL(*client_, execute(_, _, std::shared_ptr<ReplyHandler>{}))
      .WillOnce(Return(testing::failure(Errc::kTimeout, true)));
  EXPECT_TRUE(limiter.consume(kOne));
}

TEST_F(BudgetLimiterUnderFailure, ReturnsWhatAnInjectedClientThrowsAsAFailure) {
  BudgetLimiter limiter = this->limiter();
  EXPECT_CALL(*client_, execute)
      .WillOnce(::testing::Throw(std::bad_alloc{}))
      .WillOnce(::testing::Throw(std::runtime_error{"x"}));
  EXPECT_EQ(limiter.try_consume(kOne).failure, std::errc::not_enough_memory);
  EXPECT_EQ(limiter.try_consume(kOne).failure, std::errc::io_error);
}

TEST_F(BudgetLimiterUnderFailure, SaysWhatIsNotSetUp) {
  BudgetLimiter limiter = this->limiter();
  EXPECT_CALL(*client_, execute)
      .WillOnce(Return(replies({error("NOPERM this user has no permissions to run the 'evalsha' command")})))
      .WillOnce(Return(replies({testing::status("PONG")})));
  EXPECT_THROW(static_cast<void>(limiter.consume(kOne)), ServerError);
  EXPECT_EQ(limiter.stats().misconfigured, 1U);
  EXPECT_THAT(log_->names(), ::testing::Contains("misconfigured"));
  EXPECT_THROW(limiter.ping(), ServerError) << "although PING is answered";
}

// --- overrides -------------------------------------------------------------------------------------------------------

TEST_F(BudgetLimiterOverrides, OfTheProcessReplaceTheMaxOfOneSubject) {
  BudgetConfig config = this->config();
  config.override_max = [](std::string_view limit, std::string_view subject) {
    EXPECT_EQ(limit, "requests");
    return subject == "user" ? std::optional<std::int64_t>{5} : std::nullopt;
  };
  BudgetLimiter limiter = this->limiter(config);
  expect_execute(script(1, 5, 5), answer(true, 0, 0, 0, 5));
  EXPECT_EQ(limiter.consume({{"requests", "user", 5}}).states[0].max, 5);
  EXPECT_EQ(limiter.consume({{"requests", "user", 6}}).source, Source::kLocal);
  EXPECT_CALL(*client_, execute).WillOnce(Return(answer(true, 40)));
  EXPECT_TRUE(limiter.consume({{"requests", "other", 60}}));
}

TEST_F(BudgetLimiterOverrides, ThatAreRaisedHelpAtOnceAndLoweredOnesBindAtOnce) {
  std::int64_t max = 50;
  BudgetConfig config = this->config();
  config.override_max = [&max](auto, auto) { return std::optional{max}; };
  BudgetLimiter limiter = this->limiter(config);
  expect_execute(script(1, 20, 50), answer(false, 10, 30'000, 0, 50));
  EXPECT_FALSE(limiter.consume({{"requests", "user", 20}}));
  EXPECT_EQ(limiter.consume({{"requests", "user", 20}}).source, Source::kLocal);
  max = 60;
  expect_execute(script(1, 20, 60), answer(true, 0, 0, 0, 60));
  EXPECT_TRUE(limiter.consume({{"requests", "user", 20}}));
  max = 10;
  EXPECT_EQ(limiter.consume({{"requests", "user", 11}}).states[0].max, 10);
}

TEST_F(BudgetLimiterOverrides, OutOfRangeAreIgnoredAndReportedOnceAMinute) {
  int calls = 0;
  BudgetConfig config = this->config();
  config.override_max = [&calls](auto, auto) -> std::optional<std::int64_t> {
    switch (++calls % 3) {
      case 0: return -1;
      case 1: return kMaxTokens + 1;
      default: throw std::runtime_error{"no such user"};
    }
  };
  BudgetLimiter limiter = this->limiter(config);
  EXPECT_CALL(*client_, execute(Is(script(1, 1)), _, _)).Times(7).WillRepeatedly(Return(answer(true, 9)));
  for (int i = 0; i < 6; ++i) EXPECT_TRUE(limiter.consume(kOne));
  ASSERT_THAT(log_->names(), ElementsAre("override ignored"));
  EXPECT_EQ(log_->events[0].limit, "requests");
  clock_->advance(1min);
  EXPECT_TRUE(limiter.consume(kOne));
  EXPECT_EQ(log_->events.size(), 2U);
}

TEST_F(BudgetLimiterOverrides, InRedisAreReadByTheScriptAndReportedWhenDamaged) {
  BudgetConfig config = this->config();
  config.overrides_in_redis = true;
  BudgetLimiter limiter = this->limiter(config);
  expect_execute("[EVALSHA budget \"p:{user}:requests\" \"p:{user}:max\" 1 1 1 0 0 100 60 101 -1 0]",
                 answer(true, 90, 0, 8));
  EXPECT_TRUE(limiter.consume({{"requests", "user", 101}}));
  EXPECT_THAT(log_->names(), ElementsAre("override ignored"));
}

// --- events ----------------------------------------------------------------------------------------------------------

TEST_F(BudgetLimiterReports, AThresholdOncePerWindowWithoutTheSubject) {
  BudgetConfig config = this->config();
  config.token_secret = "a secret of 24 bytes ...";
  BudgetLimiter limiter = this->limiter(config);
  EXPECT_CALL(*client_, execute).WillRepeatedly(Return(answer(true, 20)));
  EXPECT_TRUE(limiter.consume(kOne));
  EXPECT_TRUE(limiter.consume(kOne));  // as after a cost was given back
  ASSERT_THAT(log_->names(), ElementsAre("threshold passed"));
  const Event& event = log_->events[0];
  EXPECT_EQ(event.limit, "requests");
  EXPECT_EQ(event.tokens, 80);
  EXPECT_EQ(event.subject, "p");
  EXPECT_EQ(event.subject_hash, limiter.subject_hash("user"));
  EXPECT_EQ(event.subject_hash.size(), 16U);
  clock_->advance(30s);  // reset_after
  EXPECT_TRUE(limiter.consume(kOne));
  EXPECT_EQ(log_->events.size(), 2U);
}

TEST_F(BudgetLimiterReports, NoThresholdForWhatWasNotCharged) {
  BudgetLimiter limiter = this->limiter();
  EXPECT_CALL(*client_, execute).WillRepeatedly(Return(answer(false, 20, 5'000)));
  EXPECT_FALSE(limiter.consume(kOne));
  EXPECT_CALL(*client_, execute).WillRepeatedly(Return(answer(true, 20)));
  EXPECT_TRUE(limiter.peek(kOne));
  EXPECT_THAT(log_->names(), ::testing::IsEmpty());
}

TEST_F(BudgetLimiterReports, WhatAShadowWouldHaveRefused) {
  BudgetConfig config = this->config();
  config.limits[0].shadow = true;
  config.limits[0].warn_at_percent = 0;
  BudgetLimiter limiter = this->limiter(config);
  EXPECT_CALL(*client_, execute).Times(2).WillRepeatedly(Return(answer(true, 0, 0, 4)));
  const BudgetDecision decision = limiter.consume({{"requests", "user", 101}});
  EXPECT_TRUE(decision);
  EXPECT_TRUE(decision.states[0].would_refuse);
  EXPECT_TRUE(limiter.consume(kOne));
  ASSERT_THAT(log_->names(), ElementsAre("shadow refused"));
  EXPECT_EQ(log_->events[0].subject_hash, "") << "without a secret it could be guessed";
}

}  // namespace
}  // namespace tollgate
