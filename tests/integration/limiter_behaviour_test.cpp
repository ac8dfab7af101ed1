// The behaviour of a limiter, as one set of tests: over memory://, over a real redis-server, over the primary that a
// real sentinel names, and over a real Redis Cluster, server and Cluster also with TLS, with either admission. The
// clock advances only when a test moves it, so no window ends during a test.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "decisions/keys.hpp"
#include "tollgate/connect.hpp"
#include "tollgate/redis_rate_limiter.hpp"
#include "tollgate/testing/manual_clock.hpp"
#include "tollgate/testing/print.hpp"
#include "tollgate/testing/redis_cluster.hpp"
#include "tollgate/testing/redis_sentinels.hpp"
#include "tollgate/testing/redis_server.hpp"

namespace tollgate {
namespace {

using namespace std::chrono_literals;
using ::testing::IsEmpty;
using testing::ManualClock;
using testing::RedisCluster;
using testing::RedisSentinels;
using testing::RedisServer;
using testing::TlsCertificates;
using ::testing::Values;

enum class Store { kMemory, kRedis, kTls, kSentinel, kCluster, kTlsCluster };

/// One client on one store; the whole suite shares one server or group of servers of each kind, and each test leaves
/// them empty.
class StoreTest : public ::testing::Test {
 protected:
  static void TearDownTestSuite() {
    server_.reset();
    tls_server_.reset();
    cluster_.reset();
    tls_cluster_.reset();
    certificates_.reset();
    sentinels_.reset();
  }

  /// The server of the store in use.
  [[nodiscard]] RedisServer& server() const {
    if (store_ == Store::kTls) {
      if (!tls_server_) tls_server_ = std::make_unique<RedisServer>(certificates());
      return *tls_server_;
    }
    if (store_ == Store::kSentinel) return sentinels().server(0);
    if (!server_) server_ = std::make_unique<RedisServer>();
    return *server_;
  }

  static RedisSentinels& sentinels() {
    if (!sentinels_) {
      sentinels_ = std::make_unique<RedisSentinels>(RedisSentinels::Options{.replicas = 0, .sentinels = 1});
    }
    return *sentinels_;
  }

  [[nodiscard]] RedisCluster& cluster() const {
    std::unique_ptr<RedisCluster>& cluster = store_ == Store::kTlsCluster ? tls_cluster_ : cluster_;
    if (!cluster) {
      cluster = std::make_unique<RedisCluster>(
          RedisCluster::Layout{.certificates = store_ == Store::kTlsCluster ? &certificates() : nullptr});
    }
    return *cluster;
  }
  [[nodiscard]] bool is_cluster() const { return store_ == Store::kCluster || store_ == Store::kTlsCluster; }
  static TlsCertificates& certificates() {
    if (!certificates_) certificates_ = std::make_unique<TlsCertificates>();
    return *certificates_;
  }

  void use(Store store) {
    store_ = store;
    client_ = new_client();
  }

  // Every key that any test leaves must expire.
  void TearDown() override {
    if (store_ == Store::kMemory || !client_) return;
    let_posts_arrive();
    client_.reset();
    if (is_cluster()) {
      EXPECT_THAT(cluster().keys_without_ttl(), IsEmpty());
      return cluster().flush();
    }
    EXPECT_THAT(server().keys_without_ttl(), IsEmpty());
    server().command({"FLUSHALL"});
  }

  /// On the same server, but for memory://, where each client is a store of its own.
  [[nodiscard]] std::shared_ptr<RedisClient> new_client() const {
    if (store_ == Store::kMemory) return connect("memory://");
    const std::string url = is_cluster()                 ? cluster().url()
                            : store_ == Store::kSentinel ? sentinels().url()
                                                         : server().url();
    return connect(url, {.connect_timeout = 5s, .command_timeout = 5s});
  }

  [[nodiscard]] RateLimitConfig config(std::int64_t limit, Admission admission) const {
    return {.max_tokens_per_minute = limit, .admission = admission, .clock = clock_};
  }

  /// Undo and settle are posted: another caller sees them for certain once they have been answered.
  void let_posts_arrive() { EXPECT_TRUE(client_->drain(std::chrono::steady_clock::now() + 5s)); }

  /// The counter of this minute, read without the limiter; nothing = there is none.
  [[nodiscard]] std::optional<std::int64_t> counter(std::string_view user_id) {
    return counter_in(user_id, decisions::unix_minute(clock_->now()));
  }

  [[nodiscard]] std::optional<std::int64_t> counter_in(std::string_view user_id, std::int64_t minute) {
    let_posts_arrive();
    CommandBatch batch;
    batch.get(decisions::Key::counter(RateLimitConfig{}.key_prefix, user_id, {minute}).view());
    const BatchResult result = client_->execute(batch, std::nullopt, nullptr);
    EXPECT_TRUE(result.ok()) << ::testing::PrintToString(result);
    return result.replies[0].to_integer();
  }

  std::shared_ptr<ManualClock> clock_ = std::make_shared<ManualClock>();
  std::shared_ptr<RedisClient> client_;

 private:
  static inline std::unique_ptr<RedisServer> server_;
  static inline std::unique_ptr<TlsCertificates> certificates_;
  static inline std::unique_ptr<RedisServer> tls_server_;
  static inline std::unique_ptr<RedisSentinels> sentinels_;
  static inline std::unique_ptr<RedisCluster> cluster_;
  static inline std::unique_ptr<RedisCluster> tls_cluster_;
  Store store_ = Store::kMemory;
};

using Setting = std::tuple<Store, Admission>;

std::string name_of(Store store) {
  switch (store) {
    case Store::kMemory: return "Memory";
    case Store::kRedis: return "Redis";
    case Store::kTls: return "Tls";
    case Store::kSentinel: return "Sentinel";
    case Store::kCluster: return "Cluster";
    case Store::kTlsCluster: return "TlsCluster";
  }
  throw std::logic_error("no such store");
}
std::string name_of(Admission admission) { return admission == Admission::kAtomic ? "Atomic" : "Pipelined"; }

class LimiterBehaviour : public StoreTest, public ::testing::WithParamInterface<Setting> {
 protected:
  void SetUp() override { use(std::get<Store>(GetParam())); }

  [[nodiscard]] static Admission admission() { return std::get<Admission>(GetParam()); }
  [[nodiscard]] RateLimitConfig config(std::int64_t limit) const { return StoreTest::config(limit, admission()); }
  [[nodiscard]] RedisRateLimiter limiter(std::int64_t limit) const { return RedisRateLimiter{client_, config(limit)}; }
};

INSTANTIATE_TEST_SUITE_P(On, LimiterBehaviour,
                         ::testing::Combine(Values(Store::kMemory, Store::kRedis, Store::kTls, Store::kSentinel,
                                                   Store::kCluster, Store::kTlsCluster),
                                            Values(Admission::kPipelined, Admission::kAtomic)),
                         [](const auto& setting) {
                           return name_of(std::get<Store>(setting.param)) + name_of(std::get<Admission>(setting.param));
                         });

// --- charging --------------------------------------------------------------------------------------------------------

TEST_P(LimiterBehaviour, AdmitsUpToTheLimitThenDeniesAndChargesNothing) {
  RedisRateLimiter limiter = this->limiter(10);
  EXPECT_TRUE(limiter.check_and_consume("user", 4));
  EXPECT_TRUE(limiter.check_and_consume("user", 6));
  for (int i = 0; i < 5; ++i) {
    EXPECT_FALSE(limiter.check_and_consume("user", 1));
    clock_->advance(2s);  // past the deny memory
  }
  EXPECT_EQ(counter("user"), 10);
}

TEST_P(LimiterBehaviour, ChargesOneTokenByDefault) {
  RedisRateLimiter limiter = this->limiter(10);
  EXPECT_TRUE(limiter.check_and_consume("user"));
  EXPECT_EQ(counter("user"), 1);
}

TEST_P(LimiterBehaviour, AnAdmissionReturnsTheStateOfTheBudget) {
  RedisRateLimiter limiter = this->limiter(100);
  clock_->advance(15'200ms);
  const Decision decision = limiter.consume("user", 70);
  EXPECT_TRUE(decision.allowed);
  EXPECT_EQ(decision.limit, 100);
  EXPECT_EQ(decision.remaining, 30);
  EXPECT_EQ(decision.retry_after, std::nullopt);
  EXPECT_EQ(decision.reset_after, 44'800ms);
  EXPECT_EQ(decision.source, Source::kRedis);
  EXPECT_FALSE(decision.failure);
}

TEST_P(LimiterBehaviour, ADenialReturnsRemainingAndRetryAfter) {
  RedisRateLimiter limiter = this->limiter(100);
  EXPECT_TRUE(limiter.check_and_consume("user", 70));
  clock_->advance(15'200ms);
  const Decision decision = limiter.consume("user", 31);
  EXPECT_FALSE(decision.allowed);
  EXPECT_EQ(decision.remaining, 30);
  EXPECT_EQ(decision.retry_after, 44'800ms);
  EXPECT_EQ(decision.reset_after, 44'800ms);
  EXPECT_EQ(decision.source, Source::kRedis);
  EXPECT_FALSE(decision.failure);
}

TEST_P(LimiterBehaviour, AnExactFitIsAdmittedAndOneMoreIsNot) {
  RedisRateLimiter limiter = this->limiter(100);
  EXPECT_TRUE(limiter.check_and_consume("exactly", 100));
  EXPECT_TRUE(limiter.check_and_consume("over", 99));
  EXPECT_FALSE(limiter.check_and_consume("over", 2));
  let_posts_arrive();
  EXPECT_TRUE(limiter.check_and_consume("over", 1));
}

TEST_P(LimiterBehaviour, TheLargestLimitIsExact) {
  RedisRateLimiter limiter = this->limiter(kMaxTokens);
  EXPECT_TRUE(limiter.check_and_consume("user", kMaxTokens - 1));
  EXPECT_EQ(limiter.get_remaining("user"), 1);
  EXPECT_FALSE(limiter.check_and_consume("user", 2));
  EXPECT_EQ(counter("user"), kMaxTokens - 1);
  EXPECT_TRUE(limiter.check_and_consume("user", 1));
  EXPECT_FALSE(limiter.check_and_consume("user", kMaxTokens));
  EXPECT_EQ(counter("user"), kMaxTokens);
}

TEST_P(LimiterBehaviour, ASmallRequestPassesAfterALargeOneWasDenied) {
  RedisRateLimiter limiter = this->limiter(100);
  EXPECT_TRUE(limiter.check_and_consume("user", 60));
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(limiter.check_and_consume("user", 50));
  let_posts_arrive();
  EXPECT_TRUE(limiter.check_and_consume("user", 40));
}

TEST_P(LimiterBehaviour, IsReadyWhenItsStoreAnswersAndDrainedWhenNoPostIsOutstanding) {
  RedisRateLimiter limiter = this->limiter(100);
  EXPECT_NO_THROW(limiter.ping());
  Reservation reservation = limiter.reserve("user", 60);
  reservation.settle(20);
  EXPECT_FALSE(limiter.check_and_consume("user", 100));
  EXPECT_TRUE(limiter.drain(std::chrono::steady_clock::now() + 5s));
  EXPECT_EQ(counter("user"), 20);
}

TEST_P(LimiterBehaviour, ARequestLargerThanTheLimitIsDeniedWithoutARoundTripAndRetryAfter) {
  RedisRateLimiter limiter = this->limiter(100);
  const Decision decision = limiter.consume("user", 101);
  EXPECT_FALSE(decision.allowed);
  EXPECT_EQ(decision.retry_after, std::nullopt);
  EXPECT_EQ(decision.remaining, std::nullopt);
  EXPECT_EQ(decision.source, Source::kLocal);
  EXPECT_EQ(counter("user"), std::nullopt);
}

TEST_P(LimiterBehaviour, ARepeatedDenialIsRememberedAndCostsNoRoundTrip) {
  RedisRateLimiter limiter = this->limiter(100);
  EXPECT_TRUE(limiter.check_and_consume("user", 80));
  EXPECT_FALSE(limiter.check_and_consume("user", 30));
  let_posts_arrive();
  EXPECT_FALSE(limiter.check_and_consume("user", 30));  // kPipelined has looked now
  const Decision remembered = limiter.consume("user", 21);
  EXPECT_FALSE(remembered.allowed);
  EXPECT_EQ(remembered.source, Source::kLocal);
  EXPECT_EQ(remembered.remaining, std::nullopt);
  EXPECT_EQ(remembered.retry_after, 60s);

  clock_->advance(1s);
  const Decision asked = limiter.consume("user", 21);
  EXPECT_FALSE(asked.allowed);
  EXPECT_EQ(asked.source, Source::kRedis);
  EXPECT_EQ(asked.remaining, 20);
}

TEST_P(LimiterBehaviour, ADenialIsNoLongerRememberedWhenThisProcessGivesTokensBack) {
  RedisRateLimiter limiter = this->limiter(100);
  Reservation reservation = limiter.reserve("user", 80);
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(limiter.check_and_consume("user", 30));
  reservation.cancel();
  let_posts_arrive();
  EXPECT_TRUE(limiter.check_and_consume("user", 30));
}

TEST_P(LimiterBehaviour, TryConsumeDecidesAsConsumeAndReportsBadArgumentsAsValues) {
  RedisRateLimiter limiter = this->limiter(100);
  EXPECT_TRUE(limiter.try_consume("user", 60).allowed);
  EXPECT_FALSE(limiter.try_consume("user", 60).allowed);
  EXPECT_EQ(limiter.try_consume("user", -1).failure, std::errc::invalid_argument);
  EXPECT_EQ(limiter.try_consume("", 1).failure, std::errc::invalid_argument);
  EXPECT_EQ(counter("user"), 60);
}

TEST_P(LimiterBehaviour, ADeadlineInThePastChargesNothing) {
  RedisRateLimiter limiter = this->limiter(100);
  const CallOptions late{.deadline = std::chrono::steady_clock::now() - 1ms};
  EXPECT_THROW((void)limiter.consume("user", 5, late), TimeoutError);
  const Decision decision = limiter.try_consume("user", 5, late);
  EXPECT_FALSE(decision.allowed);
  EXPECT_EQ(decision.source, Source::kFallback);
  EXPECT_EQ(decision.failure, Errc::kTimeout);
  EXPECT_EQ(counter("user"), std::nullopt);
}

// --- looking ---------------------------------------------------------------------------------------------------------

TEST_P(LimiterBehaviour, TheWholeBudgetRemainsForAUserWhoHasSpentNothing) {
  RedisRateLimiter limiter = this->limiter(100);
  EXPECT_EQ(limiter.get_remaining("user"), 100);
  EXPECT_EQ(counter("user"), std::nullopt);
}

TEST_P(LimiterBehaviour, RemainingGoesDownByWhatWasChargedAndNeverBelowZero) {
  RedisRateLimiter limiter = this->limiter(100);
  EXPECT_TRUE(limiter.check_and_consume("user", 30));
  EXPECT_EQ(limiter.get_remaining("user"), 70);
  limiter.record("user", 100);
  EXPECT_EQ(limiter.get_remaining("user"), 0);
}

TEST_P(LimiterBehaviour, PeekReturnsTheStateAndChargesNothing) {
  RedisRateLimiter limiter = this->limiter(100);
  EXPECT_TRUE(limiter.check_and_consume("user", 100));
  const Decision decision = limiter.peek("user");
  EXPECT_TRUE(decision.allowed);
  EXPECT_EQ(decision.remaining, 0);
  EXPECT_EQ(counter("user"), 100);
}

TEST_P(LimiterBehaviour, ZeroTokensAreAllowedUnlessTheCounterIsAboveTheLimit) {
  RedisRateLimiter limiter = this->limiter(100);
  EXPECT_TRUE(limiter.check_and_consume("user", 0));
  EXPECT_EQ(counter("user"), std::nullopt);
  limiter.record("user", 100);
  EXPECT_TRUE(limiter.check_and_consume("user", 0));
  limiter.record("user", 1);
  EXPECT_FALSE(limiter.check_and_consume("user", 0));
  EXPECT_EQ(counter("user"), 101);
}

// --- windows ---------------------------------------------------------------------------------------------------------

TEST_P(LimiterBehaviour, EachMinuteHasABudgetOfItsOwn) {
  RedisRateLimiter limiter = this->limiter(100);
  EXPECT_TRUE(limiter.check_and_consume("user", 100));
  clock_->advance(59'999ms);
  EXPECT_FALSE(limiter.check_and_consume("user", 1));
  clock_->advance(1ms);
  EXPECT_TRUE(limiter.check_and_consume("user", 100));
}

TEST_P(LimiterBehaviour, AClockSetBackFindsTheEarlierMinuteAsItWasLeft) {
  RedisRateLimiter limiter = this->limiter(100);
  EXPECT_TRUE(limiter.check_and_consume("user", 80));
  clock_->advance(60s);
  EXPECT_TRUE(limiter.check_and_consume("user", 10));
  clock_->set(ManualClock::kStart);
  EXPECT_EQ(limiter.get_remaining("user"), 20);
}

// --- users -----------------------------------------------------------------------------------------------------------

std::vector<std::string> hostile_ids() {
  using namespace std::string_literals;
  return {"*",
          "?",
          "[",
          "[a-z]",
          "\\",
          "a",
          "a:b",
          "a:",
          ":a",
          ":",
          "a:29453760",
          "{x}",
          "x",
          "\0"s,
          "a\0"s,
          "\xff\xfe"s,
          "\r\n",
          "GET a",
          "a b",
          "\"",
          "%s%n",
          "a*",
          "\\*",
          "a\\",
          "adjust:x:",
          std::string(512, 'z'),
          std::string(511, 'z') + '*',
          std::string(511, 'z')};
}

TEST_P(LimiterBehaviour, NoUserIdReadsOrChargesTheBudgetOfAnother) {
  RedisRateLimiter limiter = this->limiter(1000);
  const std::vector<std::string> ids = hostile_ids();
  for (std::size_t i = 0; i < ids.size(); ++i) {
    EXPECT_TRUE(limiter.check_and_consume(ids[i], static_cast<std::int64_t>(i + 1)));
  }
  for (std::size_t i = 0; i < ids.size(); ++i) {
    EXPECT_EQ(limiter.get_remaining(ids[i]), 1000 - static_cast<std::int64_t>(i + 1))
        << ::testing::PrintToString(ids[i]);
  }
}

TEST_P(LimiterBehaviour, NoUserIdAmongManyChargesTheBudgetOfAnother) {
  RedisRateLimiter limiter = this->limiter(1000);
  const std::vector<std::string> ids = hostile_ids();
  std::vector<ConsumeRequest> requests;
  for (const std::string& id : ids) requests.push_back({id, static_cast<std::int64_t>(requests.size() + 1)});
  for (const Decision& decision : limiter.consume_all(requests)) EXPECT_TRUE(decision.allowed);
  for (const ConsumeRequest& request : requests) {
    EXPECT_EQ(limiter.get_remaining(request.user_id), 1000 - request.tokens)
        << ::testing::PrintToString(request.user_id);
  }
}

TEST_P(LimiterBehaviour, ResettingAUserDeletesNoOtherUsersBudget) {
  RedisRateLimiter limiter = this->limiter(1000);
  const std::vector<std::string> ids = hostile_ids();
  for (const std::string& reset : ids) {
    for (const std::string& id : ids) limiter.record(id, 7);
    limiter.reset(reset);
    for (const std::string& id : ids) {
      EXPECT_EQ(counter(id).has_value(), id != reset)
          << ::testing::PrintToString(id) << " after the reset of " << ::testing::PrintToString(reset);
    }
    for (const std::string& id : ids) limiter.reset(id);
  }
}

TEST_P(LimiterBehaviour, ResetDeletesEveryWindowOfTheUser) {
  RedisRateLimiter limiter = this->limiter(100);
  const std::int64_t minute = decisions::unix_minute(clock_->now());
  for (const int minutes : {-30, -1, 0, 1, 30}) {
    clock_->set(ManualClock::kStart + std::chrono::minutes{minutes});
    limiter.record("user", 5);
    ASSERT_EQ(counter("user"), 5);
  }
  clock_->set(ManualClock::kStart);
  limiter.reset("user");
  for (const int minutes : {-30, -1, 0, 1, 30}) EXPECT_EQ(counter_in("user", minute + minutes), std::nullopt);
}

TEST_P(LimiterBehaviour, AfterAResetTheWholeBudgetRemainsAlsoForADeniedUser) {
  RedisRateLimiter limiter = this->limiter(100);
  EXPECT_TRUE(limiter.check_and_consume("user", 100));
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(limiter.check_and_consume("user", 1));
  limiter.reset("user");
  EXPECT_EQ(limiter.get_remaining("user"), 100);
  EXPECT_TRUE(limiter.check_and_consume("user", 100));
}

TEST_P(LimiterBehaviour, ResettingAnUnknownUserDoesNothing) {
  RedisRateLimiter limiter = this->limiter(100);
  EXPECT_NO_THROW(limiter.reset("nobody"));
  EXPECT_EQ(counter("nobody"), std::nullopt);
}

// --- reserve and settle ----------------------------------------------------------------------------------------------

TEST_P(LimiterBehaviour, AReservationChargesItsEstimateAtOnce) {
  RedisRateLimiter limiter = this->limiter(100);
  const Reservation reservation = limiter.reserve("user", 60);
  EXPECT_TRUE(reservation.allowed());
  EXPECT_EQ(reservation.tokens(), 60);
  EXPECT_EQ(reservation.decision().remaining, 40);
  EXPECT_EQ(counter("user"), 60);
}

TEST_P(LimiterBehaviour, ADeniedReservationHoldsNothingAndSettlesNothing) {
  RedisRateLimiter limiter = this->limiter(100);
  EXPECT_TRUE(limiter.check_and_consume("user", 50));
  Reservation reservation = limiter.reserve("user", 60);
  EXPECT_FALSE(reservation.allowed());
  EXPECT_EQ(reservation.tokens(), 0);
  EXPECT_EQ(reservation.decision().remaining, 50);
  reservation.cancel();
  EXPECT_EQ(counter("user"), 50);
}

TEST_P(LimiterBehaviour, SettlingGivesBackWhatWasNotUsed) {
  RedisRateLimiter limiter = this->limiter(100);
  Reservation reservation = limiter.reserve("user", 60);
  reservation.settle(25);
  let_posts_arrive();
  EXPECT_EQ(reservation.tokens(), 0);
  EXPECT_EQ(counter("user"), 25);
  EXPECT_TRUE(limiter.check_and_consume("user", 75));
}

TEST_P(LimiterBehaviour, SettlingForMoreChargesTheExcessPastTheLimitAndZeroRemains) {
  RedisRateLimiter limiter = this->limiter(100);
  Reservation reservation = limiter.reserve("user", 60);
  reservation.settle(130);
  let_posts_arrive();
  EXPECT_EQ(counter("user"), 130);
  EXPECT_EQ(limiter.get_remaining("user"), 0);
  EXPECT_FALSE(limiter.check_and_consume("user", 1));
  EXPECT_EQ(counter("user"), 130);
}

TEST_P(LimiterBehaviour, CancellingGivesEverythingBack) {
  RedisRateLimiter limiter = this->limiter(100);
  EXPECT_TRUE(limiter.check_and_consume("user", 10));
  Reservation reservation = limiter.reserve("user", 60);
  reservation.cancel();
  EXPECT_EQ(counter("user"), 10);
}

TEST_P(LimiterBehaviour, OnlyTheFirstSettlementCounts) {
  RedisRateLimiter limiter = this->limiter(100);
  Reservation reservation = limiter.reserve("user", 60);
  reservation.settle(50);
  reservation.settle(10);
  reservation.cancel();
  EXPECT_EQ(counter("user"), 50);
  EXPECT_THROW((void)reservation.add(1), std::logic_error);
}

TEST_P(LimiterBehaviour, AReservationThatIsDroppedStaysCharged) {
  RedisRateLimiter limiter = this->limiter(100);
  { const Reservation dropped = limiter.reserve("user", 60); }
  EXPECT_EQ(counter("user"), 60);
}

TEST_P(LimiterBehaviour, AMovedReservationSettlesOnce) {
  RedisRateLimiter limiter = this->limiter(100);
  Reservation first = limiter.reserve("user", 60);
  Reservation second = std::move(first);
  second.settle(20);
  EXPECT_EQ(counter("user"), 20);
}

TEST_P(LimiterBehaviour, AReservationMayOutliveItsLimiter) {
  auto limiter = std::make_unique<RedisRateLimiter>(client_, config(100));
  Reservation reservation = limiter->reserve("user", 60);
  limiter.reset();
  reservation.settle(20);
  EXPECT_EQ(counter("user"), 20);
}

TEST_P(LimiterBehaviour, AddChargesMoreWhileItFitsAndDeniesWhenTheBudgetIsSpent) {
  RedisRateLimiter limiter = this->limiter(100);
  Reservation reservation = limiter.reserve("user", 60);
  EXPECT_TRUE(reservation.add(30).allowed);
  EXPECT_EQ(reservation.tokens(), 90);
  EXPECT_FALSE(reservation.add(11).allowed);
  let_posts_arrive();
  EXPECT_EQ(reservation.tokens(), 90);
  EXPECT_EQ(counter("user"), 90);
  reservation.settle(70);
  EXPECT_EQ(counter("user"), 70);
}

TEST_P(LimiterBehaviour, AddInTheNextMinuteChargesThatMinuteAndLeavesTheFirstAsItWas) {
  RedisRateLimiter limiter = this->limiter(100);
  const std::int64_t first = decisions::unix_minute(clock_->now());
  Reservation reservation = limiter.reserve("user", 60);
  clock_->advance(60s);
  EXPECT_TRUE(reservation.add(30).allowed);
  EXPECT_EQ(reservation.tokens(), 90);
  reservation.settle(75);  // 15 less, all of them from the second minute
  EXPECT_EQ(counter_in("user", first + 1), 15);
  EXPECT_EQ(counter_in("user", first), 60);
}

TEST_P(LimiterBehaviour, TokensGivenBackToAMinuteAreAtMostThoseChargedToIt) {
  RedisRateLimiter limiter = this->limiter(100);
  Reservation reservation = limiter.reserve("user", 60);
  clock_->advance(60s);
  EXPECT_TRUE(limiter.check_and_consume("user", 5));
  EXPECT_TRUE(reservation.add(30).allowed);
  reservation.cancel();
  EXPECT_EQ(counter("user"), 5);
}

TEST_P(LimiterBehaviour, UnusedTokensOfAMinuteThatHasEndedDoNotChangeTheNextOne) {
  RedisRateLimiter limiter = this->limiter(100);
  Reservation reservation = limiter.reserve("user", 60);
  clock_->advance(60s);
  EXPECT_TRUE(limiter.check_and_consume("user", 5));
  reservation.settle(1);
  EXPECT_EQ(counter("user"), 5);
}

TEST_P(LimiterBehaviour, ExcessOverAMinuteThatHasEndedIsChargedToTheCurrentOne) {
  RedisRateLimiter limiter = this->limiter(1000);
  for (int i = 0; i < 5; ++i) {
    Reservation reservation = limiter.reserve("user", 10);
    ASSERT_TRUE(reservation.allowed());
    clock_->advance(90s);
    reservation.settle(5000);
    reservation.settle(5000);  // once
    EXPECT_EQ(limiter.get_remaining("user"), 0);
    EXPECT_FALSE(limiter.check_and_consume("user", 1));
    EXPECT_EQ(counter("user"), 4990);
    clock_->advance(90s);
  }
}

TEST_P(LimiterBehaviour, ExcessOverTokensAddedInALaterMinuteIsChargedToTheCurrentOne) {
  RedisRateLimiter limiter = this->limiter(100);
  Reservation reservation = limiter.reserve("user", 10);
  clock_->advance(60s);
  ASSERT_TRUE(reservation.add(20).allowed);
  clock_->advance(60s);
  reservation.settle(70);
  EXPECT_EQ(counter("user"), 40);
}

TEST_P(LimiterBehaviour, ExcessIsChargedOnceHoweverManySettleTheReservation) {
  RedisRateLimiter limiter = this->limiter(100);
  Reservation reservation = limiter.reserve("user", 10);
  const std::string token = reservation.token();
  Reservation one = limiter.adopt(token);
  Reservation other = limiter.adopt(token);
  clock_->advance(60s);
  one.settle(40);
  EXPECT_EQ(counter("user"), 30);
  clock_->advance(60s);
  other.settle(50);
  reservation.settle(60);
  EXPECT_EQ(counter("user"), std::nullopt);
}

TEST_P(LimiterBehaviour, SettlingAfterAResetNeitherMakesACounterNorBringsOneBelowZero) {
  RedisRateLimiter limiter = this->limiter(100);
  Reservation gone = limiter.reserve("gone", 60);
  limiter.reset("gone");
  gone.cancel();
  EXPECT_EQ(counter("gone"), std::nullopt);

  Reservation low = limiter.reserve("low", 60);
  limiter.reset("low");
  EXPECT_TRUE(limiter.check_and_consume("low", 5));
  low.cancel();
  EXPECT_EQ(counter("low"), 0);
}

TEST_P(LimiterBehaviour, RecordChargesAfterTheFactAlsoPastTheLimit) {
  RedisRateLimiter limiter = this->limiter(100);
  limiter.record("user", 0);
  EXPECT_EQ(counter("user"), std::nullopt);
  limiter.record("user", 90);
  limiter.record("user", 90);
  EXPECT_EQ(counter("user"), 180);
  EXPECT_EQ(limiter.get_remaining("user"), 0);
  EXPECT_FALSE(limiter.check_and_consume("user", 1));
}

// --- several limiters ------------------------------------------------------------------------------------------------

TEST_P(LimiterBehaviour, AReservationIsSettledElsewhereByItsTokenOnce) {
  RedisRateLimiter here = limiter(100);
  RedisRateLimiter there = limiter(100);
  Reservation reservation = here.reserve("user", 60);
  const std::string token = reservation.token();

  Reservation adopted = there.adopt(token);
  EXPECT_TRUE(adopted.allowed());
  EXPECT_EQ(adopted.tokens(), 60);
  adopted.settle(20);
  EXPECT_EQ(counter("user"), 20);

  there.adopt(token).settle(50);
  reservation.settle(40);
  EXPECT_EQ(counter("user"), 20);
}

TEST_P(LimiterBehaviour, ATokenThatIsDamagedOrOfAnotherPrefixIsRefused) {
  RedisRateLimiter limiter = this->limiter(100);
  RateLimitConfig other = config(100);
  other.key_prefix = "other";
  RedisRateLimiter other_limiter{client_, other};
  const std::string token = limiter.reserve("user", 60).token();

  EXPECT_THROW((void)other_limiter.adopt(token), std::invalid_argument);
  EXPECT_THROW((void)limiter.adopt(""), std::invalid_argument);
  EXPECT_THROW((void)limiter.adopt(token.substr(1)), std::invalid_argument);
  std::string damaged = token;
  char& digit = damaged[damaged.size() / 2];
  digit = digit == '0' ? '1' : '0';
  EXPECT_THROW((void)limiter.adopt(damaged), std::invalid_argument);
  EXPECT_EQ(counter("user"), 60);
}

TEST_P(LimiterBehaviour, LimitersOnOneClientShareABudgetWhenTheyShareThePrefix) {
  RedisRateLimiter one = limiter(100);
  RedisRateLimiter two = limiter(100);
  RateLimitConfig other = config(100);
  other.key_prefix = "other";
  RedisRateLimiter other_limiter{client_, other};

  EXPECT_TRUE(one.check_and_consume("user", 60));
  EXPECT_FALSE(two.check_and_consume("user", 60));
  let_posts_arrive();
  EXPECT_EQ(two.get_remaining("user"), 40);
  EXPECT_EQ(other_limiter.get_remaining("user"), 100);
  EXPECT_TRUE(other_limiter.check_and_consume("user", 100));
  EXPECT_EQ(one.get_remaining("user"), 40);
}

TEST_P(LimiterBehaviour, EachLimiterAdmitsUpToItsOwnLimit) {
  RedisRateLimiter small = limiter(50);
  RedisRateLimiter large = limiter(100);
  EXPECT_TRUE(large.check_and_consume("user", 60));
  EXPECT_EQ(small.get_remaining("user"), 0);
  EXPECT_FALSE(small.check_and_consume("user", 1));
  let_posts_arrive();
  EXPECT_TRUE(large.check_and_consume("user", 40));
}

TEST_P(LimiterBehaviour, BothAdmissionsShareOneBudget) {
  RedisRateLimiter pipelined{client_, StoreTest::config(100, Admission::kPipelined)};
  RedisRateLimiter atomic{client_, StoreTest::config(100, Admission::kAtomic)};
  EXPECT_TRUE(pipelined.check_and_consume("user", 40));
  EXPECT_TRUE(atomic.check_and_consume("user", 40));
  EXPECT_FALSE(pipelined.check_and_consume("user", 21));
  let_posts_arrive();
  EXPECT_FALSE(atomic.check_and_consume("user", 21));
  EXPECT_TRUE(pipelined.check_and_consume("user", 20));
  EXPECT_EQ(counter("user"), 100);
}

TEST_P(LimiterBehaviour, ManyThreadsOnOneUserAreAdmittedExactlyTheLimit) {
  constexpr int kThreads = 8;
  constexpr int kRequests = 250;
  constexpr std::int64_t kLimit = 1000;
  RedisRateLimiter limiter = this->limiter(kLimit);
  std::atomic<std::int64_t> admitted{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (int request = 0; request < kRequests; ++request) admitted += limiter.check_and_consume("user") ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(admitted, kLimit);
  EXPECT_EQ(counter("user"), kLimit);
}

TEST_P(LimiterBehaviour, ConsumeAllDecidesEachRequestIndependently) {
  RedisRateLimiter limiter = this->limiter(100);
  ASSERT_TRUE(limiter.check_and_consume("a", 90));
  const std::vector<ConsumeRequest> requests{{"a", 20}, {"b", 100}, {"a", 10}, {"", 1}, {"a", 1}, {"b", 101}, {"b", 0}};
  const auto decisions = limiter.consume_all(requests);
  std::vector<bool> allowed;
  for (const Decision& decision : decisions) allowed.push_back(decision.allowed);
  EXPECT_EQ(allowed, (std::vector<bool>{false, true, true, false, false, false, true}));
  EXPECT_EQ(decisions[0].remaining, 10);
  EXPECT_EQ(decisions[2].remaining, 0);
  EXPECT_EQ(decisions[3].failure, std::errc::invalid_argument);
  let_posts_arrive();
  EXPECT_EQ(counter("a"), 100);
  EXPECT_EQ(counter("b"), 100);
}

TEST_P(LimiterBehaviour, ManyThreadsThatConsumeAllAreAdmittedExactlyTheLimit) {
  constexpr int kThreads = 8;
  constexpr int kCalls = 20;
  constexpr std::int64_t kLimit = 1000;
  const std::vector<ConsumeRequest> requests(300, {"user", 1});  // two round trips
  RedisRateLimiter limiter = this->limiter(kLimit);
  std::atomic<std::int64_t> admitted{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (int call = 0; call < kCalls; ++call) {
        for (const Decision& decision : limiter.consume_all(requests)) admitted += decision.allowed ? 1 : 0;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  let_posts_arrive();
  EXPECT_EQ(admitted, kLimit);
  EXPECT_EQ(counter("user"), kLimit);
}

TEST_P(LimiterBehaviour, ManyThreadsThatReserveAndSettleLeaveWhatWasUsed) {
  constexpr int kThreads = 8;
  constexpr int kRequests = 100;
  RedisRateLimiter limiter = this->limiter(1'000'000);
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&limiter] {
      for (int request = 0; request < kRequests; ++request) {
        Reservation reservation = limiter.reserve("user", 100);
        EXPECT_TRUE(reservation.allowed());
        reservation.settle(request % 2 == 0 ? 30 : 130);  // 80 on average
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(counter("user"), kThreads * kRequests * 80);
  EXPECT_EQ(limiter.undelivered().batches, 0U);
}

// --- operation ids ---------------------------------------------------------------------------------------------------

class OperationIds : public StoreTest, public ::testing::WithParamInterface<Store> {
 protected:
  void SetUp() override { use(GetParam()); }
  [[nodiscard]] RedisRateLimiter limiter(std::int64_t limit) const {
    return RedisRateLimiter{client_, config(limit, Admission::kAtomic)};
  }
};

INSTANTIATE_TEST_SUITE_P(On, OperationIds,
                         Values(Store::kMemory, Store::kRedis, Store::kTls, Store::kSentinel, Store::kCluster,
                                Store::kTlsCluster),
                         [](const auto& store) { return name_of(store.param); });

TEST_P(OperationIds, ARepeatedOperationIsChargedOnceAndAnsweredAsTheFirstTime) {
  RedisRateLimiter limiter = this->limiter(100);
  const CallOptions once{.operation_id = "op-1"};
  EXPECT_EQ(limiter.consume("user", 60, once).remaining, 40);
  EXPECT_TRUE(limiter.check_and_consume("user", 20));
  const Decision repeated = limiter.consume("user", 60, once);
  EXPECT_TRUE(repeated.allowed);
  EXPECT_EQ(repeated.remaining, 40);
  EXPECT_EQ(counter("user"), 80);
}

TEST_P(OperationIds, ARepeatedDenialStaysADenialAlsoWhenTokensHaveComeBack) {
  RedisRateLimiter limiter = this->limiter(100);
  Reservation reservation = limiter.reserve("user", 80);
  EXPECT_FALSE(limiter.check_and_consume("user", 30, {.operation_id = "op-1"}));
  reservation.cancel();
  let_posts_arrive();
  EXPECT_FALSE(limiter.check_and_consume("user", 30, {.operation_id = "op-1"}));
  EXPECT_TRUE(limiter.check_and_consume("user", 30, {.operation_id = "op-2"}));
}

TEST_P(OperationIds, BelongToOneUserEach) {
  RedisRateLimiter limiter = this->limiter(100);
  EXPECT_TRUE(limiter.check_and_consume("a", 60, {.operation_id = "b:op"}));
  EXPECT_TRUE(limiter.check_and_consume("a:b", 60, {.operation_id = "op"}));
  EXPECT_EQ(counter("a"), 60);
  EXPECT_EQ(counter("a:b"), 60);
}

TEST_P(OperationIds, ARepeatedReservationInTheNextMinuteSettlesTheMinuteThatWasCharged) {
  RedisRateLimiter limiter = this->limiter(100);
  const std::int64_t minute = decisions::unix_minute(clock_->now());
  EXPECT_TRUE(limiter.reserve("user", 60, {.operation_id = "op-1"}).allowed());  // say its reply was lost
  clock_->advance(60s);
  Reservation repeated = limiter.reserve("user", 60, {.operation_id = "op-1"});
  EXPECT_TRUE(repeated.allowed());
  EXPECT_EQ(counter("user"), std::nullopt);
  repeated.settle(10);
  EXPECT_EQ(counter_in("user", minute), 10);
  EXPECT_EQ(counter("user"), std::nullopt);
}

TEST_P(OperationIds, ARepeatedReservationIsGivenBackOnceHoweverItIsSettled) {
  RedisRateLimiter limiter = this->limiter(1'000);
  ASSERT_TRUE(limiter.check_and_consume("user", 500));
  Reservation first = limiter.reserve("user", 100, {.operation_id = "op-1"});
  Reservation second = limiter.reserve("user", 100, {.operation_id = "op-1"});
  first.cancel();
  second.cancel();
  EXPECT_EQ(counter("user"), 500);
}

TEST_P(OperationIds, AnOperationIdOfTheSettlementDoesNotSettleATokenTwice) {
  RedisRateLimiter limiter = this->limiter(1'000);
  Reservation original = limiter.reserve("user", 100);
  Reservation adopted = limiter.adopt(original.token());
  original.settle(40, {.operation_id = "settle-1"});
  adopted.settle(40);
  EXPECT_EQ(counter("user"), 40);
}

TEST_P(OperationIds, ARepeatedSettlementAndARepeatedRecordCountOnce) {
  RedisRateLimiter limiter = this->limiter(100);
  Reservation reservation = limiter.reserve("user", 60);
  Reservation repetition = limiter.adopt(reservation.token());
  reservation.settle(20, {.operation_id = "settle-1"});
  repetition.settle(20, {.operation_id = "settle-1"});
  EXPECT_EQ(counter("user"), 20);
  limiter.record("user", 5, {.operation_id = "record-1"});
  limiter.record("user", 5, {.operation_id = "record-1"});
  EXPECT_EQ(counter("user"), 25);
}

// --- the keys in Redis -----------------------------------------------------------------------------------------------

class KeysInRedis : public StoreTest, public ::testing::WithParamInterface<Admission> {
 protected:
  void SetUp() override { use(Store::kRedis); }

  static constexpr const char* kKey = "ractogateway:ratelimit:user_42:29453760";  // of ManualClock's minute
  [[nodiscard]] RedisRateLimiter limiter() const { return RedisRateLimiter{client_, config(10'000, GetParam())}; }
};

INSTANTIATE_TEST_SUITE_P(With, KeysInRedis, Values(Admission::kPipelined, Admission::kAtomic),
                         [](const auto& admission) { return name_of(admission.param); });

TEST_P(KeysInRedis, AreThoseOfThePythonServiceAndExpireWithinAMinute) {
  RedisRateLimiter limiter = this->limiter();
  EXPECT_TRUE(limiter.check_and_consume("user_42", 7));
  EXPECT_EQ(server().command({"KEYS", "*"}), Reply::array({Reply::string(kKey)}));
  EXPECT_EQ(server().command({"GET", kKey}), Reply::string("7"));
  const auto ttl = server().command({"TTL", kKey}).to_integer();
  ASSERT_TRUE(ttl.has_value());
  EXPECT_GT(*ttl, 0);
  EXPECT_LE(*ttl, 60);
}

TEST_P(KeysInRedis, AreNamedAfterTheCurrentMinuteOfTheSystemsClock) {
  RedisRateLimiter limiter{client_, {.admission = GetParam()}};
  const auto minute = [] { return decisions::unix_minute(std::chrono::system_clock::now()); };
  const std::int64_t before = minute();
  EXPECT_TRUE(limiter.check_and_consume("user_42", 7));
  const std::int64_t after = minute();
  std::int64_t found = 0;
  for (std::int64_t at = before; at <= after; ++at) {
    found += server().command({"EXISTS", "ractogateway:ratelimit:user_42:" + std::to_string(at)}).to_integer().value();
  }
  EXPECT_EQ(found, 1);
}

TEST_P(KeysInRedis, AreSharedWithAPlainClientThatDoesIncrbyAndExpire) {
  RedisRateLimiter limiter = this->limiter();
  EXPECT_EQ(server().command({"INCRBY", kKey, "9000"}), Reply::integer(9000));
  EXPECT_EQ(server().command({"EXPIRE", kKey, "60"}), Reply::integer(1));
  EXPECT_FALSE(limiter.check_and_consume("user_42", 1001));
  let_posts_arrive();
  EXPECT_TRUE(limiter.check_and_consume("user_42", 1000));
  EXPECT_EQ(server().command({"INCRBY", kKey, "1"}), Reply::integer(10'001));
}

TEST_P(KeysInRedis, GetAnExpiryWhereAPlainClientLeftNone) {
  RedisRateLimiter limiter = this->limiter();
  EXPECT_EQ(server().command({"INCRBY", kKey, "10"}), Reply::integer(10));
  EXPECT_TRUE(limiter.check_and_consume("user_42", 1));
  EXPECT_GT(server().command({"TTL", kKey}).to_integer(), 0);
}

TEST_P(KeysInRedis, ThatAreNoCountersAreATypedErrorAndTheConnectionStaysUsable) {
  RedisRateLimiter limiter = this->limiter();
  server().command({"SET", kKey, "not a number", "EX", "60"});
  server().command({"RPUSH", "ractogateway:ratelimit:list:29453760", "x"});
  server().command({"EXPIRE", "ractogateway:ratelimit:list:29453760", "60"});
  for (const char* user : {"user_42", "list"}) {
    try {
      (void)limiter.consume(user, 1);
      ADD_FAILURE() << user;
    } catch (const ServerError& error) {
      EXPECT_EQ(error.code(), Errc::kWrongType) << error.server_text();
      EXPECT_FALSE(error.may_have_executed());
      EXPECT_FALSE(error.retryable());
    }
    EXPECT_THROW((void)limiter.get_remaining(user), ServerError);
  }
  EXPECT_TRUE(limiter.check_and_consume("somebody_else", 1));
}

TEST_P(KeysInRedis, OfADeniedUserAreLeftAsTheyWere) {
  RedisRateLimiter limiter = this->limiter();
  EXPECT_TRUE(limiter.check_and_consume("user_42", 10'000));
  server().command({"EXPIRE", kKey, "30"});
  EXPECT_FALSE(limiter.check_and_consume("user_42", 1));
  EXPECT_FALSE(limiter.check_and_consume("user_42", 1));
  let_posts_arrive();
  EXPECT_EQ(server().command({"GET", kKey}), Reply::string("10000"));
}

TEST_P(KeysInRedis, AreFoundInTheDatabaseAndOverTheSocketThatTheUrlNames) {
  RedisRateLimiter here = limiter();
  RedisRateLimiter there{connect(server().unix_url() + "?db=3"), {.admission = GetParam(), .clock = clock_}};
  EXPECT_TRUE(there.check_and_consume("user_42", 7));
  EXPECT_EQ(there.get_remaining("user_42"), 9'993);
  EXPECT_EQ(here.get_remaining("user_42"), 10'000);
  EXPECT_EQ(server().command({"DBSIZE"}), Reply::integer(0));  // of database 0
}

}  // namespace
}  // namespace tollgate
