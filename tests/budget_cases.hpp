/// The specification of budget.lua, as a table: the same cases run against the Lua in a real Redis and against its C++
/// twin. The cases themselves are in tests/budget_cases/.
/// Thread safety: plain values.
#pragma once

#include <gtest/gtest.h>

#include <ostream>
#include <utility>

#include "budget_call.hpp"
#include "tollgate/testing/print.hpp"

namespace tollgate::inline v0::testing {

using Numbers = std::vector<std::int64_t>;

struct BudgetCase {
  std::string name;
  std::map<std::string, std::string> before;
  BudgetCall call;
  std::optional<Numbers> reply;  // nothing = damaged
  std::map<std::string, std::string> after;
  std::map<std::string, std::int64_t> lives = {};  // ms, of what was written
  std::map<std::string, std::string> overrides = {};
  std::int64_t now = 1'767'225'615'000;  // kNow
};

inline void PrintTo(const BudgetCase& budget_case, std::ostream* out) { *out << budget_case.name; }

inline constexpr std::int64_t kNow = 1'767'225'615'000;  // 2026-01-01 00:00:15 UTC
inline constexpr std::int64_t kMax53 = (std::int64_t{1} << 53U) - 1;
inline const std::string kLimitA = "p:{u}:a";
inline const std::string kLimitB = "p:{u}:b";
inline const std::string kOverrides = "p:{u}:max";
inline const std::string kOperation = "p:{u}:op:1";

[[nodiscard]] std::vector<BudgetCase> fixed_cases();
[[nodiscard]] std::vector<BudgetCase> bucket_cases();
[[nodiscard]] std::vector<BudgetCase> sliding_cases();
[[nodiscard]] std::vector<BudgetCase> slots_cases();
[[nodiscard]] std::vector<BudgetCase> several_charges_cases();  // also shadow, overrides and records
[[nodiscard]] std::vector<BudgetCase> damaged_state_cases();    // texts that no window has stored

[[nodiscard]] inline std::vector<BudgetCase> budget_cases() {
  std::vector<BudgetCase> all;
  for (auto* make :
       {fixed_cases, bucket_cases, sliding_cases, slots_cases, several_charges_cases, damaged_state_cases}) {
    for (BudgetCase& one : make()) all.push_back(std::move(one));
  }
  return all;
}

inline void expect_budget_case_holds(BudgetStore& store, const BudgetCase& expected) {
  for (const auto& [key, value] : expected.before) store.put(key, value);
  for (const auto& [field, value] : expected.overrides) store.put_field(kOverrides, field, value);
  const Reply reply = store.run(expected.call, expected.now);
  if (expected.reply) {
    std::vector<Reply> numbers;
    for (const std::int64_t number : *expected.reply) numbers.push_back(Reply::integer(number));
    EXPECT_EQ(reply, Reply::array(numbers));
  } else {
    ASSERT_TRUE(reply.is_error()) << ::testing::PrintToString(reply);
    EXPECT_EQ(failure_from_error_reply(reply.text()).code, Errc::kWrongType) << reply.text();
  }
  for (const std::string& key : {kLimitA, kLimitB, kOperation}) {
    const auto value = expected.after.find(key);
    EXPECT_EQ(store.get(key), value != expected.after.end() ? Reply::string(value->second) : Reply{}) << key;
    const auto life = expected.lives.find(key);
    EXPECT_EQ(store.life(key), life != expected.lives.end() ? std::optional{life->second} : std::nullopt) << key;
  }
}

}  // namespace tollgate::inline v0::testing
