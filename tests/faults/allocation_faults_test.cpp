// Any allocation of any call may fail, at any point of a client's life: the next call works, nothing is charged twice,
// and nothing stays charged that no caller and no counter accounts for.

#include <atomic>
#include <functional>
#include <new>
#include <vector>

#include "faults/failing_allocations.hpp"
#include "faults/fault_test.hpp"

namespace tollgate::tests {
namespace {

/// The results of the calls of one limiter. A call that ended with an exception charged nothing, or is in doubt.
struct Account {
  std::int64_t allowed = 0;  // tokens of allowed charges
};

/// A public call: what must be there before it, made while nothing fails, and the call itself, which may fail.
struct Call {
  const char* name;
  std::function<std::function<void()>(RedisRateLimiter&, Account&)> prepare;
};

std::ostream& operator<<(std::ostream& out, const Call& call) { return out << call.name; }

constexpr std::int64_t kTokens = 10;

std::vector<Call> calls() {
  const auto charges = [](auto charge) {
    return [charge](RedisRateLimiter& limiter, Account& account) -> std::function<void()> {
      return [&, charge] {
        const bool allowed = charge(limiter);
        if (allowed) account.allowed += kTokens;
      };
    };
  };
  const auto only = [](auto call) {
    return [call](RedisRateLimiter& limiter, Account&) -> std::function<void()> {
      return [&limiter, call] { call(limiter); };
    };
  };
  // A reservation of 5 × kTokens, made before anything fails; `end` is the call that may fail.
  const auto reserved = [](auto end) {
    return [end](RedisRateLimiter& limiter, Account& account) -> std::function<void()> {
      const auto reservation = std::make_shared<Reservation>(limiter.reserve("u", 5 * kTokens));
      account.allowed += 5 * kTokens;
      return [&, reservation, end] { end(limiter, *reservation, account); };
    };
  };
  return {
      {"CheckAndConsume", charges([](RedisRateLimiter& limiter) { return limiter.check_and_consume("u", kTokens); })},
      {"Consume", charges([](RedisRateLimiter& limiter) { return limiter.consume("u", kTokens).allowed; })},
      {"TryConsume",  // noexcept: an exception would end the program
       charges([](RedisRateLimiter& limiter) { return limiter.try_consume("u", kTokens).allowed; })},
      {"ConsumeAll", charges([](RedisRateLimiter& limiter) {
         const std::vector<ConsumeRequest> requests{{"u", kTokens}, {"u", kLimit * 100}};
         return limiter.consume_all(requests)[0].allowed;
       })},
      {"Denied", only([](RedisRateLimiter& limiter) { static_cast<void>(limiter.try_consume("full", kTokens)); })},
      {"Peek", only([](RedisRateLimiter& limiter) { static_cast<void>(limiter.peek("u")); })},
      {"GetRemaining", only([](RedisRateLimiter& limiter) { static_cast<void>(limiter.get_remaining("u")); })},
      {"Reset", only([](RedisRateLimiter& limiter) { limiter.reset("another"); })},
      {"Ping", only([](RedisRateLimiter& limiter) { limiter.ping(); })},
      {"Drain", only([](RedisRateLimiter& limiter) {
         static_cast<void>(limiter.drain(std::chrono::steady_clock::now() + 1s));
       })},
      {"Stats", only([](RedisRateLimiter& limiter) {
         static_cast<void>(limiter.stats());
         static_cast<void>(limiter.undelivered());
       })},
      {"Record", charges([](RedisRateLimiter& limiter) {
         limiter.record("u", kTokens);
         return true;
       })},
      {"Reserve", charges([](RedisRateLimiter& limiter) { return limiter.reserve("u", kTokens).allowed(); })},
      {"Add", reserved([](RedisRateLimiter&, Reservation& reservation, Account& account) {
         const bool allowed = reservation.add(kTokens).allowed;
         if (allowed) account.allowed += kTokens;
       })},
      {"Settle", reserved([](RedisRateLimiter&, Reservation& reservation, Account& account) {
         reservation.settle(kTokens);  // what is lost is in undelivered()
         account.allowed -= 4 * kTokens;
       })},
      {"Cancel", reserved([](RedisRateLimiter&, Reservation& reservation, Account& account) {
         reservation.cancel();
         account.allowed -= 5 * kTokens;
       })},
      {"Token",
       reserved([](RedisRateLimiter&, Reservation& reservation, Account&) { static_cast<void>(reservation.token()); })},
      {"Adopt", [](RedisRateLimiter& limiter, Account& account) -> std::function<void()> {
         const std::string token = limiter.reserve("u", 5 * kTokens).token();
         account.allowed += 5 * kTokens;
         return [&, token] {
           Reservation adopted = limiter.adopt(token);
           adopted.settle(kTokens);
           account.allowed -= 4 * kTokens;
         };
       }}};
}

class AllocationFaults : public FaultTest, public ::testing::WithParamInterface<Call> {
 protected:
  AllocationFaults() = default;
  explicit AllocationFaults(const testing::TlsCertificates& certificates) : FaultTest(certificates) {}

  static constexpr auto kCommandTimeout = 2s;
  static constexpr int kMostAllocations = 150;  // of one call; none has as many

  [[nodiscard]] RedisRateLimiter limiter_on(const std::string& url) const {
    RateLimitConfig config = this->config();
    config.max_tokens_per_minute = kLimit * 10;
    return RedisRateLimiter{connect(url, {.connect_timeout = 2s, .command_timeout = kCommandTimeout}), config};
  }
  static void fill(RedisRateLimiter& limiter) { limiter.record("full", kLimit * 10); }

  /// Makes the call with its n-th allocation failing; whether there were so many.
  static bool fails(RedisRateLimiter& limiter, Account& account, int n) {
    const std::function<void()> call = GetParam().prepare(limiter, account);
    const FailingAllocation failing{n};
    try {
      call();
    } catch (const std::bad_alloc&) {
    } catch (const Error&) {
    }
    return failing.happened();
  }
  /// The next call works within 2 s, and the counter holds the allowed charges and no more than what is in
  /// doubt.
  static void expect_sound(RedisRateLimiter& limiter, Account& account, int n) {
    const auto start = std::chrono::steady_clock::now();
    const Decision next = limiter.try_consume("u", 1);
    ASSERT_TRUE(next.allowed) << "after allocation " << n << " failed: " << next.failure.message();
    EXPECT_LT(std::chrono::steady_clock::now() - start, kCommandTimeout);
    account.allowed += 1;
    ASSERT_TRUE(limiter.drain(std::chrono::steady_clock::now() + 5s));
    const std::int64_t charged = limiter.peek("u").limit - limiter.get_remaining("u");
    const auto doubt = static_cast<std::int64_t>(limiter.stats().in_doubt_tokens + limiter.undelivered().tokens);
    EXPECT_GE(charged, account.allowed - doubt) << "after allocation " << n << " failed";
    EXPECT_LE(charged, account.allowed + doubt) << "after allocation " << n << " failed: tokens stay charged silently";
  }
};

TEST_P(AllocationFaults, OfTheFirstCallsOfAClient) {
  for (const std::string& url : {server_.url(), std::string{"memory://"}}) {
    bool failed = true;
    for (int n = 1; failed; ++n) {
      ASSERT_LT(n, kMostAllocations);
      server_.command({"FLUSHALL"});
      server_.command({"SCRIPT", "FLUSH"});
      RedisRateLimiter limiter = limiter_on(url);
      Account account;
      failed = fails(limiter, account, n);
      ASSERT_NO_FATAL_FAILURE(expect_sound(limiter, account, n)) << url;
    }
  }
}

struct Certificates {
  testing::TlsCertificates certificates;
};

class AllocationFaultsWithTls : private Certificates, public AllocationFaults {
 protected:
  AllocationFaultsWithTls() : AllocationFaults(certificates) {}
};

// OpenSSL's own allocations are not made by operator new; ours, in its callbacks too, are.
TEST_P(AllocationFaultsWithTls, OfTheFirstCallsOfAClient) {
  bool failed = true;
  for (int n = 1; failed; ++n) {
    ASSERT_LT(n, kMostAllocations);
    server_.command({"FLUSHALL"});
    RedisRateLimiter limiter = limiter_on(server_.url());
    Account account;
    failed = fails(limiter, account, n);
    ASSERT_NO_FATAL_FAILURE(expect_sound(limiter, account, n));
  }
}

TEST_P(AllocationFaults, OfTheCallsOfAClientInUse) {
  for (const std::string& url : {server_.url(), std::string{"memory://"}}) {
    RedisRateLimiter limiter = limiter_on(url);
    fill(limiter);
    Account account;
    ASSERT_TRUE(limiter.check_and_consume("u", 1));
    account.allowed += 1;
    bool failed = true;
    for (int n = 1; failed; ++n) {
      ASSERT_LT(n, kMostAllocations);
      failed = fails(limiter, account, n);
      ASSERT_NO_FATAL_FAILURE(expect_sound(limiter, account, n)) << url;
    }
  }
}

TEST_P(AllocationFaults, WhileOtherThreadsCall) {
  RedisRateLimiter limiter = limiter_on(server_.url());
  fill(limiter);
  std::atomic<bool> stop{false};
  std::atomic<std::int64_t> slowest{0};  // ns, of the calls of others
  std::vector<std::thread> others;
  for (int i = 0; i < 3; ++i) {
    others.emplace_back([&] {
      while (!stop) {
        const auto start = std::chrono::steady_clock::now();
        static_cast<void>(limiter.try_consume("other", 0));  // may fail, with the connection that the failure broke
        const std::int64_t took = (std::chrono::steady_clock::now() - start).count();
        for (std::int64_t seen = slowest; took > seen && !slowest.compare_exchange_weak(seen, took);) {
        }
      }
    });
  }
  Account account;
  for (int n = 1; n <= 24 && !HasFatalFailure(); ++n) {
    for (int repetition = 0; repetition < 5; ++repetition) fails(limiter, account, n);
    expect_sound(limiter, account, n);
  }
  stop = true;
  for (std::thread& other : others) other.join();
  EXPECT_LT(std::chrono::nanoseconds{slowest}, kCommandTimeout);
  EXPECT_FALSE(limiter.try_consume("other", 0).failure);
}

INSTANTIATE_TEST_SUITE_P(Of, AllocationFaults, ::testing::ValuesIn(calls()),
                         [](const auto& call) { return std::string{call.param.name}; });

INSTANTIATE_TEST_SUITE_P(Of, AllocationFaultsWithTls, ::testing::ValuesIn([] {
                           std::vector<Call> some = calls();
                           std::erase_if(some, [](const Call& call) {
                             const std::string_view name = call.name;
                             return name != "CheckAndConsume" && name != "TryConsume" && name != "Settle";
                           });
                           return some;
                         }()),
                         [](const auto& call) { return std::string{call.param.name}; });

}  // namespace
}  // namespace tollgate::tests
