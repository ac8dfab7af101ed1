// The memory of a subject's state in Redis, for each kind of window: bounded, however much is charged. Measured, and
// printed as the table of docs/adr/0024-windows.md.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <string>

#include "budget_cases.hpp"
#include "budget_lua_store.hpp"

namespace tollgate {
namespace {

using budget_script::Mode;
using std::chrono::hours;
using std::chrono::seconds;
using testing::BudgetLuaStore;

const std::string kKey = "tollgate:{user_42}:tokens_per_minute";

class BudgetScriptMemory : public ::testing::Test {
 protected:
  std::int64_t bytes() { return store_.command({"MEMORY", "USAGE", kKey}).to_integer().value_or(0); }
  void run(Mode mode, Window window, std::int64_t max, std::int64_t cost, std::int64_t named) {
    const Reply reply = store_.run({mode, {{kKey, window, max, cost, named}}}, now_);
    ASSERT_FALSE(reply.is_error()) << reply.text();
  }

  testing::RedisServer server_;
  BudgetLuaStore store_{server_};
  std::int64_t now_ = testing::kNow;
};

TEST_F(BudgetScriptMemory, IsBoundedForEveryWindow) {
  struct Row {
    const char* name;
    Window window;
    std::int64_t most;  // bytes
  };
  const Row rows[] = {
      {"fixed, 1 minute", Window::fixed(seconds{60}), 136},
      {"UTC month", Window::utc_month(), 136},
      {"token bucket, 1 minute", Window::token_bucket(seconds{60}), 740},
      {"token bucket, 30 days", Window::token_bucket(hours{720}), 740},
      {"sliding, 1 minute", Window::sliding(seconds{60}), 420},
  };
  for (const Row& row : rows) {
    store_.clear();
    run(Mode::kCharge, row.window, 40'000, 500, -1);
    const std::int64_t first = bytes();

    // Amounts of 13 digits, in histories that keep as much as a window can.
    const std::int64_t length = row.window.kind() == Window::Kind::kUtcMonth ? 2'592'000 : row.window.length().count();
    std::int64_t most = 0;
    for (int i = 0; i < 3'000; ++i) {
      now_ += length * 1000 / 40 + i % 7;
      run(Mode::kCharge, row.window, 9'000'000'000'000, 1'000'000'000'000, -1);
      if (i % 3 == 0) run(Mode::kAdjust, row.window, 9'000'000'000'000, -300'000'000'000, -1);
      most = std::max(most, bytes());
    }
    std::cout << "| " << row.name << " | " << first << " | " << most << " |\n";
    EXPECT_GT(first, 0) << row.name;
    EXPECT_LE(most, row.most) << row.name;
  }
}

TEST_F(BudgetScriptMemory, OfSlotsGrowsWithTheLeasesAndNoFurther) {
  const Window slots = Window::concurrent(seconds{60});
  std::int64_t eight = 0;
  for (std::int64_t i = 1; i <= 1'100; ++i) {
    run(Mode::kCharge, slots, testing::kMax53, 1, testing::kMax53 - i);  // ids of 16 digits, as random ones
    if (i == 1) std::cout << "| slots, 1 held | " << bytes() << " | |\n";
    if (i == 8) eight = bytes();
  }
  std::cout << "| slots, 8 held | " << eight << " | |\n| slots, 1000 held | " << bytes() << " | |\n";
  EXPECT_LE(eight, 420);
  EXPECT_LE(bytes(), 45'000);
}

}  // namespace
}  // namespace tollgate
