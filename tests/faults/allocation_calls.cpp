#include "faults/allocation_calls.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <new>

#include "faults/failing_allocations.hpp"

namespace tollgate::tests {

using namespace std::chrono_literals;

std::vector<Call> allocation_calls() {
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
         const std::vector<ConsumeRequest> requests{{"u", kTokens}, {"u", kBudget * 10}};
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

bool fails(const Call& call, RedisRateLimiter& limiter, Account& account, int n,
           std::chrono::milliseconds command_timeout) {
  const std::function<void()> prepared = call.prepare(limiter, account);
  const auto start = std::chrono::steady_clock::now();
  const FailingAllocation failing{n};
  try {
    prepared();
  } catch (const std::bad_alloc&) {
  } catch (const Error&) {
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, command_timeout) << "when allocation " << n << " failed";
  return failing.happened();
}

void expect_sound(RedisRateLimiter& limiter, Account& account, int n, std::chrono::milliseconds command_timeout) {
  const auto start = std::chrono::steady_clock::now();
  const Decision next = limiter.try_consume("u", 1);
  ASSERT_TRUE(next.allowed) << "after allocation " << n << " failed: " << next.failure.message();
  EXPECT_LT(std::chrono::steady_clock::now() - start, command_timeout);
  account.allowed += 1;
  ASSERT_TRUE(limiter.drain(std::chrono::steady_clock::now() + 5s));
  const std::int64_t charged = limiter.peek("u").limit - limiter.get_remaining("u");
  const auto doubt = static_cast<std::int64_t>(limiter.stats().in_doubt_tokens + limiter.undelivered().tokens);
  EXPECT_GE(charged, account.allowed - doubt) << "after allocation " << n << " failed";
  EXPECT_LE(charged, account.allowed + doubt) << "after allocation " << n << " failed: tokens stay charged silently";
}

}  // namespace tollgate::tests
