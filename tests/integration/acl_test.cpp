// The rights that docs/reliability.md lists are sufficient for all functions of tollgate, and each is needed.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "tollgate/budget_limiter.hpp"
#include "tollgate/connect.hpp"
#include "tollgate/redis_rate_limiter.hpp"
#include "tollgate/testing/redis_server.hpp"

namespace tollgate::tests {
namespace {

using namespace std::chrono_literals;

/// The words of the one line in the document that makes the user.
std::vector<std::string> documented_command(const std::string& user) {
  const auto root = std::filesystem::path{__FILE__}.parent_path().parent_path().parent_path();
  std::ifstream document{root / "docs" / "reliability.md"};
  for (std::string line; std::getline(document, line);) {
    if (!line.starts_with("ACL SETUSER " + user + " ")) continue;
    std::istringstream words{line};
    std::vector<std::string> command;
    for (std::string word; words >> word;) command.push_back(word);
    return command;
  }
  throw std::runtime_error("docs/reliability.md has no ACL SETUSER line of " + user);
}

void check(bool holds) {
  if (!holds) throw std::runtime_error("not what it should be");
}

/// Calls every function of a limiter, on an empty database; throws when one fails.
void call_everything(const std::shared_ptr<RedisClient>& client) {
  RedisRateLimiter limiter{client, {.deny_memory = 0ms}};
  RedisRateLimiter atomic{client, {.admission = Admission::kAtomic, .deny_memory = 0ms}};
  limiter.ping();
  for (RedisRateLimiter* each : {&limiter, &atomic}) {
    check(each->check_and_consume("u", 4'000));
    check(!each->check_and_consume("u", 9'000));
    check(each->drain(std::chrono::steady_clock::now() + 5s));
    check(each->get_remaining("u") == 6'000);
    each->record("u", 10);
    Reservation reservation = each->reserve("v", 100);
    reservation.settle(200);
    std::string token = each->reserve("v", 100).token();
    each->adopt(token).settle(50);
    check(each->drain(std::chrono::steady_clock::now() + 5s));
    check(each->undelivered().batches == 0);
    each->reset("u");
    check(each->get_remaining("u") == 10'000);
  }
  check(atomic.check_and_consume("w", 1, {.operation_id = "once"}));
  check(atomic.check_and_consume("w", 1, {.operation_id = "once"}));
  check(atomic.get_remaining("w") == 9'999);
}

/// Likewise of a BudgetLimiter.
void call_everything_of_budgets(const std::shared_ptr<RedisClient>& client) {
  BudgetConfig config;
  config.limits = {{.name = "day", .max = 100, .window = Window::utc_day()},
                   {.name = "running", .max = 8, .window = Window::concurrent(std::chrono::minutes{1})}};
  config.deny_memory = 0ms;
  config.overrides_in_redis = true;
  BudgetLimiter limiter{client, config};
  limiter.ping();
  check(limiter.consume({{"day", "u", 40}}).allowed);
  check(!limiter.consume({{"day", "u", 61}}).allowed);
  limiter.record({{"day", "u", 10}});
  BudgetReservation reservation = limiter.reserve({{"day", "u", 50}, {"running", "u"}});
  check(reservation.allowed() && reservation.renew().allowed);
  limiter.adopt(reservation.token()).settle({20, 1});
  check(limiter.drain(std::chrono::steady_clock::now() + 5s));
  check(limiter.undelivered().batches == 0);
  check(limiter.peek({{"day", "u", 0}}).states[0].remaining == 30);
  limiter.reset("day", "u");
  check(limiter.peek({{"day", "u", 0}}).states[0].remaining == 100);
}

struct User {
  std::string name;
  void (*call_everything)(const std::shared_ptr<RedisClient>& client);
};

class Acl : public ::testing::TestWithParam<User> {
 protected:
  void do_everything() {
    GetParam().call_everything(connect("redis://" + GetParam().name + ":" + password() +
                                       "@127.0.0.1:" + std::to_string(server_.port()) + "/1?command_timeout_ms=5000"));
    server_.command({"FLUSHALL"});
  }
  [[nodiscard]] std::string password() const {
    for (const std::string& word : command_) {
      if (word.starts_with(">")) return word.substr(1);
    }
    throw std::runtime_error("the line sets no password");
  }

  const std::vector<std::string> command_ = documented_command(GetParam().name);
  testing::RedisServer server_;
};

TEST_P(Acl, TheDocumentedRightsAreEnough) {
  ASSERT_EQ(server_.command(command_).text(), "OK");
  EXPECT_NO_THROW(do_everything());
}

TEST_P(Acl, EveryDocumentedRightIsNeeded) {
  int rights = 0;
  for (const std::string& right : command_) {
    if (!right.starts_with("+")) continue;
    ++rights;
    ASSERT_EQ(server_.command({"ACL", "DELUSER", GetParam().name}).is_error(), false);
    ASSERT_EQ(server_.command(command_).text(), "OK");
    ASSERT_EQ(server_.command({"ACL", "SETUSER", GetParam().name, "-" + right.substr(1)}).text(), "OK");
    server_.command({"SCRIPT", "FLUSH"});
    EXPECT_ANY_THROW(do_everything()) << right << " is not needed";
    server_.command({"FLUSHALL"});
  }
  EXPECT_GT(rights, 5);
}

TEST_P(Acl, KeysOfOtherPrefixesAreForbidden) {
  ASSERT_EQ(server_.command(command_).text(), "OK");
  RedisRateLimiter other{
      connect("redis://" + GetParam().name + ":" + password() + "@127.0.0.1:" + std::to_string(server_.port())),
      {.key_prefix = "elsewhere"}};
  EXPECT_EQ(other.try_consume("u", 1).failure, Errc::kPermissionDenied);
}

INSTANTIATE_TEST_SUITE_P(Of, Acl,
                         ::testing::Values(User{"tollgate", call_everything},
                                           User{"budgets", call_everything_of_budgets}),
                         [](const auto& user) { return user.param.name; });

}  // namespace
}  // namespace tollgate::tests
