// budget.lua in a real Redis, against the table that tests/unit runs against its C++ twin; and what only a real Redis
// has: its own clock, expiry, other types, and full memory.
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "budget_cases.hpp"
#include "budget_lua_store.hpp"
#include "values/scripts.hpp"

namespace tollgate {
namespace {

using testing::BudgetCall;
using testing::BudgetCase;
using testing::BudgetLuaStore;
using testing::kLimitA;
using testing::kLimitB;
using testing::kOperation;
using testing::kOverrides;
using testing::RedisServer;

const Window kMinute = Window::fixed(std::chrono::seconds{60});

class BudgetScriptOnRedis : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { server_ = std::make_unique<RedisServer>(); }
  static void TearDownTestSuite() { server_.reset(); }
  void TearDown() override { store_.clear(); }

  /// The script itself, by the server's clock.
  Reply eval(const BudgetCall& call) {
    const std::vector<std::string> keys = call.keys();
    std::vector<std::string> words{"EVAL", std::string{kBudgetScript.source}, std::to_string(keys.size())};
    words.insert(words.end(), keys.begin(), keys.end());
    const std::vector<std::int64_t> integers = call.integers();
    for (const std::int64_t integer : integers) words.push_back(std::to_string(integer));
    words.emplace_back("17");
    Reply reply = store_.command(words);
    if (!reply.is_error()) {
      EXPECT_TRUE(take_answer({Operation::kScript, keys[0], {}, integers, &kBudgetScript}, 17, reply)) << reply.text();
    }
    return reply;
  }
  static Errc code_of(const Reply& reply) {
    return static_cast<Errc>(failure_from_error_reply(reply.text()).code.value());
  }
  std::int64_t number(const std::vector<std::string>& words) {
    return store_.command(words).to_integer().value_or(-99);
  }

  static std::unique_ptr<RedisServer> server_;
  BudgetLuaStore store_{*server_};
};

std::unique_ptr<RedisServer> BudgetScriptOnRedis::server_;

TEST_F(BudgetScriptOnRedis, DoesWhatTheTableSays) {
  for (const BudgetCase& budget_case : testing::budget_cases()) {
    SCOPED_TRACE(budget_case.name);
    store_.clear();
    testing::expect_budget_case_holds(store_, budget_case);
  }
}

TEST_F(BudgetScriptOnRedis, HasTheSha1ThatTheClientSends) {
  EXPECT_EQ(store_.command({"SCRIPT", "LOAD", std::string{kBudgetScript.source}}).text(), kBudgetScript.sha1);
}

TEST_F(BudgetScriptOnRedis, DoesNothingWhenItIsCalledWithoutAKey) {
  EXPECT_EQ(store_.command({"EVAL", std::string{kBudgetScript.source}, "0", "17"}).text(), "-1 17");
  EXPECT_EQ(number({"DBSIZE"}), 0);
}

TEST_F(BudgetScriptOnRedis, CountsByTheServersClockAndExpiresEveryKey) {
  const std::vector<Window> windows{kMinute, Window::utc_month(), Window::token_bucket(std::chrono::seconds{60}),
                                    Window::sliding(std::chrono::seconds{60}),
                                    Window::concurrent(std::chrono::seconds{60})};
  for (const Window& window : windows) {
    SCOPED_TRACE(static_cast<int>(window.kind()));
    store_.clear();
    const Reply time = store_.command({"TIME"});
    const std::int64_t before = time.elements().at(0).to_integer().value_or(0) * 1000;
    const Reply reply = eval({.charges = {{kLimitA, window, 10, 7, 5}}, .record = kOperation, .record_ttl = 120});
    ASSERT_FALSE(reply.is_error()) << reply.text();
    const auto at = [&](std::size_t i) { return reply.elements().at(i).to_integer().value_or(-99); };
    EXPECT_EQ(at(budget_script::kAllowed), 1);
    EXPECT_GE(at(budget_script::kTime), before);
    EXPECT_LE(at(budget_script::kTime), before + 60'000);
    const std::int64_t reset_after = at(budget_script::kStates + budget_script::kResetAfter);
    EXPECT_LE(number({"PTTL", kLimitA}), reset_after);
    EXPECT_GE(number({"PTTL", kLimitA}), reset_after - 20'000);
    EXPECT_EQ(at(budget_script::kStates + budget_script::kRemaining), 3);
    EXPECT_TRUE(server_->keys_without_ttl().empty());
  }
}

TEST_F(BudgetScriptOnRedis, LeavesBytesAndExpiryWhenItRefuses) {
  store_.command({"SET", kLimitB, "0 60 99999999 10", "PX", "100000000"});
  const Reply reply = eval({.charges = {{kLimitA, kMinute, 100, 1}, {kLimitB, kMinute, 10, 1}}});
  EXPECT_EQ(reply.elements().at(budget_script::kAllowed).to_integer(), 0);
  EXPECT_TRUE(store_.get(kLimitA).is_nil());
  EXPECT_EQ(store_.get(kLimitB), Reply::string("0 60 99999999 10"));
  EXPECT_GT(number({"PTTL", kLimitB}), 90'000'000);
}

TEST_F(BudgetScriptOnRedis, AnswersWrongTypeForAStateThatIsNoString) {
  store_.command({"RPUSH", kLimitB, "element"});
  const Reply reply = eval(
      {.charges = {{kLimitA, kMinute, 100, 1}, {kLimitB, kMinute, 100, 1}}, .record = kOperation, .record_ttl = 120});
  EXPECT_EQ(code_of(reply), Errc::kWrongType) << reply.text();
  EXPECT_EQ(number({"DBSIZE"}), 1);
}

TEST_F(BudgetScriptOnRedis, AnswersWrongTypeForARecordThatIsNoString) {
  store_.command({"RPUSH", kOperation, "element"});
  const Reply reply = eval({.charges = {{kLimitA, kMinute, 100, 1}}, .record = kOperation, .record_ttl = 120});
  EXPECT_EQ(code_of(reply), Errc::kWrongType) << reply.text();
  EXPECT_EQ(number({"DBSIZE"}), 1);
}

TEST_F(BudgetScriptOnRedis, IgnoresAnOverrideThatIsNoHash) {
  store_.command({"SET", kOverrides, "5"});
  const Reply reply = eval({.charges = {{kLimitA, kMinute, 100, 50}}, .overrides = {kOverrides}});
  EXPECT_EQ(reply.elements().at(budget_script::kAllowed).to_integer(), 1);
  EXPECT_EQ(reply.elements().at(budget_script::kStates + budget_script::kStatus).to_integer(),
            budget_script::kOverrideIgnored);
}

TEST_F(BudgetScriptOnRedis, SaysThatItMayNotReadOverrides) {
  store_.command({"ACL", "SETUSER", "default", "-hget"});
  const Reply reply = eval({.charges = {{kLimitA, kMinute, 100, 50}}, .overrides = {kOverrides}});
  store_.command({"ACL", "SETUSER", "default", "+hget"});
  EXPECT_EQ(code_of(reply), Errc::kPermissionDenied) << reply.text();
  EXPECT_TRUE(store_.get(kLimitA).is_nil());
}

TEST_F(BudgetScriptOnRedis, AnswersOutOfMemoryAtMaxmemoryAndWritesNothing) {
  store_.command({"CONFIG", "SET", "maxmemory", "1"});
  const BudgetCall call{
      .charges = {{kLimitA, kMinute, 100, 1}, {kLimitB, kMinute, 100, 1}}, .record = kOperation, .record_ttl = 120};
  const Reply reply = eval(call);
  BudgetCall peek = call;
  peek.mode = budget_script::Mode::kPeek;
  peek.record.clear();
  const Reply peeked = eval(peek);
  store_.command({"CONFIG", "SET", "maxmemory", "0"});
  EXPECT_EQ(code_of(reply), Errc::kOutOfMemory) << reply.text();
  EXPECT_FALSE(peeked.is_error()) << peeked.text();
  EXPECT_EQ(number({"DBSIZE"}), 0);
}

}  // namespace
}  // namespace tollgate
