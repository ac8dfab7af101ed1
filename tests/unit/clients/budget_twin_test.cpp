// The C++ twin of budget.lua, against the table that tests/integration runs against the Lua.
#include "clients/budget_twin.hpp"

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <string>
#include <vector>

#include "budget_cases.hpp"
#include "budget_twin_store.hpp"
#include "clients/memory_client.hpp"

namespace tollgate {
namespace {

using testing::BudgetCall;
using testing::BudgetCase;
using testing::BudgetTwinStore;
using testing::kLimitA;
using testing::kLimitB;
using testing::kNow;
using testing::kOperation;
using testing::kOverrides;

const Window kMinute = Window::fixed(std::chrono::seconds{60});

TEST(BudgetTwin, DoesWhatTheTableSays) {
  for (const BudgetCase& budget_case : testing::budget_cases()) {
    SCOPED_TRACE(budget_case.name);
    BudgetTwinStore store;
    testing::expect_budget_case_holds(store, budget_case);
  }
}

TEST(BudgetTwin, AnswersWrongTypeForAStateThatIsNoString) {
  BudgetTwinStore store;
  store.put_field(kLimitB, "field", "1");
  const BudgetCall call{.charges = {{kLimitA, kMinute, 100, 1}, {kLimitB, kMinute, 100, 1}}};
  const Reply reply = store.run(call, kNow);
  EXPECT_EQ(failure_from_error_reply(reply.text()).code, Errc::kWrongType);
  EXPECT_TRUE(store.get(kLimitA).is_nil());
}

TEST(BudgetTwin, IgnoresAnOverrideThatIsNoHash) {
  BudgetTwinStore store;
  store.put(kOverrides, "5");
  const Reply reply = store.run({.charges = {{kLimitA, kMinute, 100, 50}}, .overrides = {kOverrides}}, kNow);
  EXPECT_EQ(reply.elements().at(budget_script::kAllowed).to_integer(), 1);
  EXPECT_EQ(reply.elements().at(budget_script::kStates + budget_script::kStatus).to_integer(),
            budget_script::kOverrideIgnored);
}

TEST(BudgetTwin, AnswersOutOfMemoryWhenTheStoreIsFullAndWritesNothing) {
  const BudgetCall call{
      .charges = {{kLimitA, kMinute, 100, 1}, {kLimitB, kMinute, 100, 1}}, .record = kOperation, .record_ttl = 120};
  const std::vector<std::string> names = call.keys();
  CommandBatch batch;
  batch.run(kBudgetScript, std::vector<std::string_view>(names.begin(), names.end()), call.integers());
  Keyspace keys{2};
  keys.set(kLimitA, "0 60 29453760 7", 60);
  const Reply reply =
      run_budget_twin(keys, batch[0], std::chrono::system_clock::time_point{std::chrono::milliseconds{kNow}});
  EXPECT_EQ(failure_from_error_reply(reply.text()).code, Errc::kOutOfMemory);
  EXPECT_EQ(keys.get(kLimitA), Reply::string("0 60 29453760 7"));
  EXPECT_EQ(keys.size(), 1U);
}

TEST(BudgetTwin, CountsTimesBefore1970As1970) {
  BudgetTwinStore store;
  const Reply reply = store.run({.charges = {{kLimitA, kMinute, 100, 1}}}, -5'000);
  EXPECT_EQ(reply.elements().at(budget_script::kTime).to_integer(), 0);
  EXPECT_EQ(store.get(kLimitA), Reply::string("0 60 0 1"));
}

TEST(BudgetTwin, ReadsTheClockOfTheMemoryClient) {
  const auto clock = std::make_shared<testing::ManualClock>();
  MemoryClient client{clock};
  const std::array<std::string_view, 1> names{kLimitA};
  CommandBatch batch;
  batch.run(kBudgetScript, names, BudgetCall{.charges = {{kLimitA, kMinute, 1, 1}}}.integers());
  const auto allowed = [&] {
    return client.execute(batch, {}, nullptr).replies[0].elements().at(budget_script::kAllowed).to_integer();
  };
  EXPECT_EQ(allowed(), 1);
  EXPECT_EQ(allowed(), 0);
  clock->advance(std::chrono::seconds{60});
  EXPECT_EQ(allowed(), 1);
}

}  // namespace
}  // namespace tollgate
