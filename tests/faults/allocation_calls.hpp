/// The public calls of a limiter, each to be made with one of its allocations failing, and an account of what they
/// charged.
/// Thread safety: one thread at a time.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "tollgate/redis_rate_limiter.hpp"

namespace tollgate::tests {

/// The results of the calls of one limiter. A call that ended with an exception charged nothing, or is in doubt.
struct Account {
  std::int64_t allowed = 0;  // tokens of allowed charges
};

/// A public call: what must be there before it, made while nothing fails, and the call itself, which may fail.
struct Call {
  const char* name;
  std::function<std::function<void()>(RedisRateLimiter&, Account&)> prepare;
};

inline std::ostream& operator<<(std::ostream& out, const Call& call) { return out << call.name; }

constexpr std::int64_t kTokens = 10;
constexpr std::int64_t kBudget = 100'000;
constexpr int kMostAllocations = 150;  // of one call on one server; none has as many

/// They charge the user "u", or no user that has a counter of its own.
[[nodiscard]] std::vector<Call> allocation_calls();

/// The name of a test with such a parameter.
template <class Info>
std::string name_of_call(const Info& info) {
  return info.param.name;
}

/// Makes the call with its n-th allocation failing; whether there were so many. The call ends before its timeout.
[[nodiscard]] bool fails(const Call& call, RedisRateLimiter& limiter, Account& account, int n,
                         std::chrono::milliseconds command_timeout);

/// The next call works within `command_timeout`, and the counter holds the allowed charges and no more than what is in
/// doubt.
void expect_sound(RedisRateLimiter& limiter, Account& account, int n, std::chrono::milliseconds command_timeout);

}  // namespace tollgate::tests
