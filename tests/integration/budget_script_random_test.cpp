// budget.lua in a real Redis and its C++ twin take the same random calls at the same times: replies, stored bytes and
// lives agree. Clocks jump, keys expire, configurations change, states are damaged.
// Environment: TOLLGATE_BUDGET_SEED sets the seed, TOLLGATE_BUDGET_STEPS the number of calls.
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <random>
#include <string>
#include <vector>

#include "budget_cases.hpp"
#include "budget_lua_store.hpp"
#include "budget_twin_store.hpp"

namespace tollgate {
namespace {

using testing::BudgetCall;
using testing::BudgetCharge;
using testing::BudgetLuaStore;
using testing::BudgetTwinStore;
using testing::kMax53;

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* const given = std::getenv(name);
  return given != nullptr ? std::strtoull(given, nullptr, 10) : otherwise;
}

class RandomCalls {
 public:
  explicit RandomCalls(std::uint64_t seed) : random_(seed) {
    for (std::size_t i = 0; i < kLimits; ++i) configure(i);
  }

  std::int64_t up_to(std::int64_t largest) { return std::uniform_int_distribution<std::int64_t>{0, largest}(random_); }
  bool one_in(std::int64_t n) { return up_to(n - 1) == 0; }
  template <class T, std::size_t size>
  T any_of(const std::array<T, size>& values) {
    return values[static_cast<std::size_t>(up_to(size - 1))];
  }

  /// The next time: mostly a little later, measured by the length of some limit; sometimes earlier.
  std::int64_t next_time() {
    const std::int64_t length = limits_[any_limit()].length_ms;
    std::int64_t step = up_to(length / any_of(std::array<std::int64_t, 6>{1, 4, 16, 100, 1000, 100'000}));
    if (one_in(20)) step = -up_to(length);
    if (one_in(5)) step = 0;
    now_ = std::clamp<std::int64_t>(now_ + step, 1'000, 4'000'000'000'000);
    if (one_in(500)) now_ = up_to(4'000'000'000'000);
    return now_;
  }

  BudgetCall next_call() {
    if (one_in(100)) configure(any_limit());
    BudgetCall call;
    call.mode = any_of(std::array{budget_script::Mode::kPeek, budget_script::Mode::kCharge,
                                  budget_script::Mode::kCharge, budget_script::Mode::kAdjust});
    chosen_.clear();
    const bool has_overrides = one_in(4);
    const auto first = any_limit();
    const auto count = static_cast<std::size_t>(1 + (one_in(2) ? 0 : up_to(3)));
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t limit = (first + i) % kLimits;
      chosen_.push_back(limit);
      call.charges.push_back(charge_of(limit, call.mode));
      if (has_overrides) call.overrides.emplace_back("p:{u}:max");
    }
    if (one_in(5)) {
      call.record = "p:{u}:op:" + std::to_string(up_to(20));
      call.record_ttl = 1'000'000;
    }
    return call;
  }

  void remember(const BudgetCall& call, const Reply& reply) {
    for (std::size_t i = 0; i < call.charges.size(); ++i) {
      const std::size_t at = budget_script::kStates + i * budget_script::kStateIntegers + budget_script::kChargedWindow;
      if (at < reply.elements().size()) limits_[chosen_[i]].window = reply.elements()[at].to_integer().value_or(-1);
    }
  }

  std::size_t any_limit() { return static_cast<std::size_t>(up_to(kLimits - 1)); }
  static std::string key_of(std::size_t limit) { return "p:{u}:limit" + std::to_string(limit); }
  static std::string name_of(std::size_t limit) { return "limit" + std::to_string(limit); }

  std::string damaged(std::string text) {
    if (text.empty() || one_in(4)) return any_of(std::array<std::string, 4>{"", "x", "2 60", "0 60 1 2 3"});
    const auto at = static_cast<std::size_t>(up_to(static_cast<std::int64_t>(text.size()) - 1));
    text[at] = any_of(std::array{' ', '0', '9', '1', '-', 'x', '.'});
    return text;
  }
  std::string override() {
    return any_of(
        std::array<std::string, 8>{"0", "1", "10", "1000", "9007199254740991", "9007199254740992", "-1", "x"});
  }

  static constexpr std::size_t kLimits = 12;

 private:
  struct LimitUnderTest {
    Window window_kind = Window::utc_month();
    std::int64_t max = 0;
    std::int64_t length_ms = 0;
    std::int64_t window = -1;  // that was charged last
  };

  void configure(std::size_t limit) {
    const std::chrono::seconds length{any_of(std::array{1, 7, 60, 3'600, 86'400, 86'401, 2'592'000, 31'622'400})};
    LimitUnderTest& one = limits_[limit];
    one.max = any_of(std::array<std::int64_t, 8>{0, 1, 8, 100, 40'000, 2'000'003, 1'000'000'000'007, kMax53});
    one.length_ms = length.count() * 1000;
    switch (up_to(6)) {
      case 0: one.window_kind = Window::fixed(length); break;
      case 1: one.window_kind = Window::utc_month(), one.length_ms = 2'592'000'000; break;
      case 2: one.window_kind = Window::sliding(length); break;
      case 3: one.window_kind = Window::concurrent(length); break;
      default: one.window_kind = Window::token_bucket(length); break;
    }
  }

  BudgetCharge charge_of(std::size_t limit, budget_script::Mode mode) {
    const LimitUnderTest& one = limits_[limit];
    BudgetCharge charge{key_of(limit), one.window_kind, one.max, 0, -1, one_in(10)};
    const std::int64_t most =
        one.window_kind.kind() == Window::Kind::kConcurrent ? std::min<std::int64_t>(one.max, 5) : one.max;
    charge.cost = up_to(std::max<std::int64_t>(most / any_of(std::array<std::int64_t, 5>{1, 2, 10, 50, 1000}), 1));
    if (one_in(50)) charge.cost = kMax53 - up_to(1);
    if (mode == budget_script::Mode::kAdjust) {
      if (!one_in(4)) charge.cost = -charge.cost;
      if (!one_in(4)) charge.named = one.window - (one_in(2) ? 0 : up_to(20));
    }
    if (one.window_kind.kind() == Window::Kind::kConcurrent) charge.named = 1 + up_to(12);
    return charge;
  }

  std::mt19937_64 random_;
  std::array<LimitUnderTest, kLimits> limits_;
  std::vector<std::size_t> chosen_;
  std::int64_t now_ = testing::kNow;
};

TEST(BudgetScript, AgreesWithItsTwinOnRandomCalls) {
  const std::uint64_t seed = from_environment("TOLLGATE_BUDGET_SEED", std::random_device{}() % 1'000'000);
  const std::uint64_t steps = from_environment("TOLLGATE_BUDGET_STEPS", 40'000);
  std::cout << "seed " << seed << std::endl;
  testing::RedisServer server;
  BudgetLuaStore lua{server};
  BudgetTwinStore twin;
  RandomCalls calls{seed};
  std::chrono::milliseconds steady{0};
  std::int64_t before = testing::kNow;
  std::uint64_t refused = 0;
  std::uint64_t allowed = 0;

  for (std::uint64_t step = 0; step < steps; ++step) {
    SCOPED_TRACE("seed " + std::to_string(seed) + ", call " + std::to_string(step));
    const std::int64_t now = calls.next_time();
    steady += std::chrono::milliseconds{std::clamp<std::int64_t>(now - before, 0, 100'000'000)};
    before = now;
    if (calls.one_in(2)) twin.set_steady_time(Keyspace::Time{steady});  // expires keys, of Redis too, below
    if (calls.one_in(30)) {
      const std::string field = RandomCalls::name_of(calls.any_limit());
      const std::string value = calls.override();
      lua.put_field("p:{u}:max", field, value);
      twin.put_field("p:{u}:max", field, value);
    }

    const BudgetCall call = calls.next_call();
    for (const std::string& key : call.keys()) {
      if (twin.get(key).is_nil()) lua.erase(key);
    }
    if (calls.one_in(200)) {
      const std::string& key = call.charges[0].key;
      const std::string damaged = calls.damaged(twin.get(key).text());
      lua.put(key, damaged);
      twin.put(key, damaged);
    }

    const Reply reply = lua.run(call, now);
    ASSERT_EQ(reply, twin.run(call, now));
    for (const BudgetCharge& charge : call.charges) {
      ASSERT_EQ(lua.get(charge.key), twin.get(charge.key)) << charge.key;
      const auto life = lua.life(charge.key);
      ASSERT_TRUE(!life || life == twin.life(charge.key)) << charge.key << ": " << *life;
    }
    if (!call.record.empty()) {
      ASSERT_EQ(lua.get(call.record), twin.get(call.record));
    }

    if (reply.is_error()) {
      for (const BudgetCharge& charge : call.charges) {
        lua.erase(charge.key);
        twin.erase(charge.key);
      }
      lua.erase(call.record);
      twin.erase(call.record);
      continue;
    }
    calls.remember(call, reply);
    (reply.elements()[budget_script::kAllowed].to_integer() == 1 ? allowed : refused)++;
  }
  EXPECT_GT(allowed, steps / 5);
  EXPECT_GT(refused, steps / 20);
}

}  // namespace
}  // namespace tollgate
