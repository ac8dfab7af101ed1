// Any allocation of any call may fail, at any point of a client's life: the next call works, nothing is charged twice,
// and nothing stays charged that no caller and no counter accounts for.

#include <atomic>
#include <vector>

#include "faults/allocation_calls.hpp"
#include "faults/fault_test.hpp"

namespace tollgate::tests {
namespace {

class AllocationFaults : public FaultTest, public ::testing::WithParamInterface<Call> {
 protected:
  AllocationFaults() = default;
  explicit AllocationFaults(const testing::TlsCertificates& certificates) : FaultTest(certificates) {}

  static constexpr auto kCommandTimeout = 2s;

  [[nodiscard]] RedisRateLimiter limiter_on(const std::string& url) const {
    RateLimitConfig config = this->config();
    config.max_tokens_per_minute = kBudget;
    return RedisRateLimiter{connect(url, {.connect_timeout = 2s, .command_timeout = kCommandTimeout}), config};
  }
  static void fill(RedisRateLimiter& limiter) { limiter.record("full", kBudget); }

  static bool fails(RedisRateLimiter& limiter, Account& account, int n) {
    return tests::fails(GetParam(), limiter, account, n, kCommandTimeout);
  }
  static void expect_sound(RedisRateLimiter& limiter, Account& account, int n) {
    tests::expect_sound(limiter, account, n, kCommandTimeout);
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

INSTANTIATE_TEST_SUITE_P(Of, AllocationFaults, ::testing::ValuesIn(allocation_calls()),
                         [](const auto& call) { return name_of_call(call); });

INSTANTIATE_TEST_SUITE_P(Of, AllocationFaultsWithTls, ::testing::ValuesIn([] {
                           std::vector<Call> some = allocation_calls();
                           std::erase_if(some, [](const Call& call) {
                             const std::string_view name = call.name;
                             return name != "CheckAndConsume" && name != "TryConsume" && name != "Settle";
                           });
                           return some;
                         }()),
                         [](const auto& call) { return name_of_call(call); });

}  // namespace
}  // namespace tollgate::tests
