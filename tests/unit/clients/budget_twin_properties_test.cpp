// What every call of the budget script promises, whatever its windows: all or nothing, and no trace of a refusal.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <array>
#include <map>
#include <string>

#include "budget_twin_store.hpp"

namespace tollgate {
namespace {

using budget_script::Mode;
using testing::BudgetCall;
using testing::BudgetCharge;
using testing::BudgetTwinStore;

constexpr std::array<const char*, 4> kKeys{"p:{u}:a", "p:{u}:b", "p:{u}:c", "p:{u}:d"};

std::map<std::string, std::pair<std::string, std::optional<std::int64_t>>> contents(BudgetTwinStore& store) {
  std::map<std::string, std::pair<std::string, std::optional<std::int64_t>>> all;
  for (const char* key : kKeys) {
    if (const Reply text = store.get(key); !text.is_nil()) all[key] = {text.text(), store.life(key)};
  }
  return all;
}

Window window_of(std::size_t limit, std::chrono::seconds length) {
  switch (limit) {
    case 0: return Window::fixed(length);
    case 1: return Window::token_bucket(length);
    case 2: return Window::sliding(length);
    default: return Window::concurrent(length);
  }
}

RC_GTEST_PROP(BudgetScript, ChargesAllOrNothing, ()) {
  BudgetTwinStore store;
  const std::chrono::seconds length{*rc::gen::inRange(1, 100)};
  std::int64_t now = 1'767'225'615'000;
  for (int i = *rc::gen::inRange(0, 40); i > 0; --i) {
    now += *rc::gen::oneOf(rc::gen::just<std::int64_t>(0), rc::gen::inRange<std::int64_t>(-5'000, 20'000));
    BudgetCall call{.mode = *rc::gen::element(Mode::kPeek, Mode::kCharge, Mode::kCharge)};
    for (std::size_t limit = *rc::gen::inRange<std::size_t>(0, 4); limit < kKeys.size(); ++limit) {
      const auto max = *rc::gen::inRange<std::int64_t>(0, 30);
      call.charges.push_back({kKeys[limit], window_of(limit, length), max, *rc::gen::inRange<std::int64_t>(0, 12),
                              *rc::gen::inRange<std::int64_t>(1, 9), *rc::gen::element(false, false, false, true)});
    }
    const auto before = contents(store);
    const Reply reply = store.run(call, now);
    const auto number = [&](std::size_t index) { return reply.elements().at(index).to_integer().value_or(-99); };
    bool refuses = false;
    for (std::size_t charge = 0; charge < call.charges.size(); ++charge) {
      const std::size_t state = budget_script::kStates + charge * budget_script::kStateIntegers;
      refuses = refuses || (number(state + budget_script::kStatus) & budget_script::kRefuses) != 0;
      RC_ASSERT(number(state + budget_script::kRemaining) >= 0);
      RC_ASSERT(number(state + budget_script::kRemaining) <= number(state + budget_script::kMaxInForce));
    }
    RC_ASSERT((number(budget_script::kAllowed) == 0) == refuses);
    const auto after = contents(store);
    if (refuses || call.mode == Mode::kPeek) {
      RC_ASSERT(after == before);
    } else {
      for (const BudgetCharge& charge : call.charges) RC_ASSERT(charge.cost == 0 || after.contains(charge.key));
    }
  }
}

}  // namespace
}  // namespace tollgate
