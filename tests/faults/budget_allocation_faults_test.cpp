// Any allocation of any call of a BudgetLimiter may fail: the next call works, and every limit holds what was allowed,
// but for what the limiter counts as in doubt or undelivered.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "faults/failing_allocations.hpp"
#include "faults/fault_test.hpp"
#include "tollgate/budget_limiter.hpp"

namespace tollgate::tests {
namespace {

constexpr std::int64_t kCost = 10;
constexpr std::size_t kLimits = 5;  // more than a decision holds without the heap

/// A public call. It returns what it left charged to each limit, and is prepared while nothing fails.
struct BudgetCall {
  const char* name;
  std::function<std::function<void()>(BudgetLimiter&, std::int64_t& charged)> prepare;
};

std::ostream& operator<<(std::ostream& out, const BudgetCall& call) { return out << call.name; }

std::vector<Charge> charges(std::int64_t cost) {
  static const std::vector<std::string> names{"limit0", "limit1", "limit2", "limit3", "limit4"};
  std::vector<Charge> all;
  for (const std::string& name : names) all.push_back({name, "u", cost});
  return all;
}

std::vector<BudgetCall> budget_calls() {
  const auto charging = [](auto call) {
    return [call](BudgetLimiter& limiter, std::int64_t& charged) -> std::function<void()> {
      return [&, call, all = charges(kCost)] {
        if (call(limiter, all)) charged += kCost;
      };
    };
  };
  const auto reserved = [](auto end) {
    return [end](BudgetLimiter& limiter, std::int64_t& charged) -> std::function<void()> {
      const auto reservation = std::make_shared<BudgetReservation>(limiter.reserve(charges(5 * kCost)));
      charged += 5 * kCost;
      return [&, reservation, end, costs = std::vector<std::int64_t>(kLimits, kCost)] {
        end(*reservation, costs, charged);
      };
    };
  };
  return {{"Consume", charging([](BudgetLimiter& limiter, const auto& all) { return limiter.consume(all).allowed; })},
          {"TryConsume",
           charging([](BudgetLimiter& limiter, const auto& all) { return limiter.try_consume(all).allowed; })},
          {"ConsumeAll", charging([](BudgetLimiter& limiter, const auto& all) {
             const std::vector<BudgetRequest> requests{{all}};
             return limiter.consume_all(requests)[0].allowed;
           })},
          {"Record", charging([](BudgetLimiter& limiter, const auto& all) {
             limiter.record(all);
             return true;
           })},
          {"Peek", charging([](BudgetLimiter& limiter, const auto& all) {
             static_cast<void>(limiter.peek(all));
             return false;
           })},
          {"Reserve", charging([](BudgetLimiter& limiter, const auto& all) { return limiter.reserve(all).allowed(); })},
          {"Add", reserved([](BudgetReservation& reservation, const auto& costs, std::int64_t& charged) {
             if (reservation.add(costs)) charged += kCost;
           })},
          {"Settle", reserved([](BudgetReservation& reservation, const auto& costs, std::int64_t& charged) {
             charged -= 4 * kCost;
             reservation.settle(costs);
           })},
          {"Cancel", reserved([](BudgetReservation& reservation, const auto&, std::int64_t& charged) {
             charged -= 5 * kCost;
             reservation.cancel();
           })},
          {"Token", reserved([](BudgetReservation& reservation, const auto&, std::int64_t&) {
             static_cast<void>(reservation.token());
           })}};
}

class BudgetAllocationFaults : public FaultTest, public ::testing::WithParamInterface<BudgetCall> {};

TEST_P(BudgetAllocationFaults, LeaveEveryLimitWithWhatWasAllowed) {
  constexpr int kMostAllocations = 300;
  for (const std::string& url : {server_.url(), std::string{"memory://"}}) {
    BudgetConfig config;
    for (const Charge& charge : charges(0)) {
      config.limits.push_back(
          {.name = std::string{charge.limit}, .max = 1'000'000, .window = Window::fixed(24h * 366)});
    }
    BudgetLimiter limiter{connect(url, kPatient), config};
    std::int64_t charged = 0;
    bool failed = true;
    for (int n = 1; failed; ++n) {
      ASSERT_LT(n, kMostAllocations);
      {
        const std::function<void()> call = GetParam().prepare(limiter, charged);
        const FailingAllocation failing{n};
        try {
          call();
        } catch (const std::bad_alloc&) {
        } catch (const Error&) {
        }
        failed = failing.happened();
      }
      ASSERT_TRUE(limiter.drain(std::chrono::steady_clock::now() + 5s));
      const BudgetDecision state = limiter.peek(charges(0));
      ASSERT_EQ(state.states.size(), kLimits);
      const Stats stats = limiter.stats();
      const auto doubt = static_cast<std::int64_t>(stats.in_doubt_tokens + stats.undelivered.tokens);
      for (const LimitState& limit : state.states) {
        const std::int64_t spent = limit.max - limit.remaining.value_or(0);
        EXPECT_GE(spent, charged - doubt) << "after allocation " << n << " failed on " << url;
        EXPECT_LE(spent, charged + doubt) << "after allocation " << n << " failed on " << url;
        EXPECT_EQ(spent, 1'000'000 - state.states[0].remaining.value_or(0)) << "all or nothing";
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Of, BudgetAllocationFaults, ::testing::ValuesIn(budget_calls()),
                         [](const auto& call) { return std::string{call.param.name}; });

}  // namespace
}  // namespace tollgate::tests
