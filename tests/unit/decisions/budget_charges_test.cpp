// The charges of a request: what is refused, what is added up; the keys of a budget; thresholds.

#include "decisions/budget_charges.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "decisions/budget_keys.hpp"
#include "decisions/once_per_window.hpp"
#include "decisions/refusal_memory.hpp"
#include "decisions/share_window.hpp"
#include "unit/values/error_text.hpp"

namespace tollgate {
namespace {

using namespace std::chrono_literals;
using decisions::BudgetCharges;
using decisions::BudgetItem;
using decisions::BudgetKey;
using decisions::OncePerWindow;
using decisions::RefusalMemory;
using ::testing::HasSubstr;
using ::testing::Not;

const std::vector<Limit> kLimits{{.name = "requests", .max = 100}, {.name = "tokens", .max = 40'000}};

std::string refused(const std::vector<Charge>& charges) {
  return rejection([&] { static_cast<void>(BudgetCharges{kLimits, charges}); });
}

TEST(BudgetChargesOfARequest, KeepTheirOrderAndTheMaxOfTheirLimits) {
  const BudgetCharges charges{kLimits, std::vector<Charge>{{"tokens", "a", 5}, {"requests", "a"}, {"tokens", "b", 7}}};
  ASSERT_EQ(charges.size(), 3U);
  ASSERT_EQ(charges.items().size(), 3U);
  EXPECT_EQ(charges.items()[0].limit, 1U);
  EXPECT_EQ(charges.items()[0].max, 40'000);
  EXPECT_EQ(charges.items()[1].cost, 1);
  EXPECT_EQ(charges.items()[2].subject, "b");
  EXPECT_EQ(charges.total(), 13);
}

TEST(BudgetChargesOfARequest, AddUpWhereLimitAndSubjectAreTheSame) {
  const BudgetCharges charges{kLimits, std::vector<Charge>{{"tokens", "a", 5}, {"requests", "a"}, {"tokens", "a", 7}}};
  ASSERT_EQ(charges.size(), 3U);
  ASSERT_EQ(charges.items().size(), 2U);
  EXPECT_EQ(charges.items()[0].cost, 12);
  EXPECT_EQ(charges.item_of(0), charges.item_of(2));
  EXPECT_NE(charges.item_of(0), charges.item_of(1));
}

TEST(BudgetChargesOfARequest, AreRefusedWithTheFieldItsValueAndItsRange) {
  EXPECT_THAT(refused({}), HasSubstr("charges has 0 entries; it must have 1 … 16"));
  EXPECT_THAT(refused(std::vector<Charge>(17, {"requests", "a"})), HasSubstr("charges has 17 entries"));
  EXPECT_THAT(refused({{"requests", "a"}, {"token", "a"}}),
              HasSubstr("charges[1].limit is a name of 5 bytes that no limit has; it must be one of \"requests\", "
                        "\"tokens\""));
  EXPECT_THAT(refused({{"requests", ""}}), HasSubstr("charges[0].subject is 0 bytes long; it must be 1 … 512 bytes"));
  EXPECT_THAT(refused({{"requests", std::string(513, 'u')}}), HasSubstr("charges[0].subject is 513 bytes long"));
  EXPECT_THAT(refused({{"requests", "a", -1}}), HasSubstr("charges[0].cost is -1; it must be 0 … 9007199254740991"));
  EXPECT_THAT(refused({{"requests", "a", kMaxTokens + 1}}), HasSubstr("charges[0].cost is 9007199254740992"));
  EXPECT_THAT(
      refused({{"requests", "a", kMaxTokens}, {"requests", "a", 2}}),
      HasSubstr("charges[1].cost, added to earlier costs of the same limit and subject, makes 9007199254740993"));
}

TEST(BudgetChargesOfARequest, AreRefusedWithoutUserData) {
  EXPECT_THAT(refused({{"alice@example.com", "requests"}}), Not(HasSubstr("alice")));
  EXPECT_THAT(refused({{"requests", "alice@example.com", -1}}), Not(HasSubstr("alice")));
}

TEST(BudgetKeys, AreThoseOfTheDocumentation) {
  EXPECT_EQ(BudgetKey::state("tollgate", "team_7", "tokens").view(), "tollgate:{team_7}:tokens");
  EXPECT_EQ(BudgetKey::overrides("tollgate", "team_7").view(), "tollgate:{team_7}:max");
  EXPECT_EQ(BudgetKey::operation("tollgate", "team_7", "charge", "op").view(), "tollgate:{team_7}:charge:op:2:");
}

TEST(BudgetKeys, HoldTheLongestParts) {
  const std::string prefix(512, 'p');
  const std::string subject(512, 's');
  const std::string id(128, 'i');
  EXPECT_EQ(BudgetKey::state(prefix, subject, std::string(64, 'l')).view(),
            prefix + ":{" + subject + "}:" + std::string(64, 'l'));
  EXPECT_EQ(BudgetKey::operation(prefix, subject, "adjust15", id).view(),
            prefix + ":{" + subject + "}:adjust15:" + id + ":128:");
}

BudgetItem charged(std::int64_t cost, std::int64_t spent_after, std::int64_t max) {
  BudgetItem item;
  item.cost = cost;
  item.state.max = max;
  item.state.remaining = max - spent_after;
  return item;
}

TEST(Thresholds, ArePassedByTheChargeThatReachesThem) {
  const Limit limit{.name = "l", .max = 100};  // 80 %
  EXPECT_FALSE(passes_threshold(limit, charged(10, 79, 100)));
  EXPECT_TRUE(passes_threshold(limit, charged(10, 80, 100)));
  EXPECT_TRUE(passes_threshold(limit, charged(10, 89, 100)));
  EXPECT_FALSE(passes_threshold(limit, charged(10, 90, 100)));
  EXPECT_FALSE(passes_threshold(limit, charged(0, 80, 100)));
}

TEST(Thresholds, AreOfTheMaxInForceAndRoundedUp) {
  const Limit limit{.name = "l", .max = 100, .warn_at_percent = 50};
  EXPECT_FALSE(passes_threshold(limit, charged(1, 1, 3)));
  EXPECT_TRUE(passes_threshold(limit, charged(1, 2, 3)));
  EXPECT_TRUE(passes_threshold(limit, charged(kMaxTokens / 2 + 1, kMaxTokens / 2 + 1, kMaxTokens)));
  EXPECT_FALSE(passes_threshold({.name = "l", .max = 100, .warn_at_percent = 0}, charged(100, 100, 100)));
  EXPECT_FALSE(passes_threshold(limit, charged(1, 0, 0)));
}

class Memory : public ::testing::Test {
 protected:
  static constexpr RefusalMemory::Time kNow{10h};
  static inline const RefusalMemory::Key kKey{"key"};

  /// 10 or more did not fit at kNow, under a max of 50, for a second.
  void remember(std::uint64_t version = 0) {
    memory_.remember(kKey, {.cost = 10, .max = 50, .until = kNow + 1s, .fits_at = kNow + 5s, .resets_at = kNow + 9s},
                     version);
  }

  RefusalMemory memory_{4};
};

TEST_F(Memory, RefusesWhatIsAsLargeUnderNoLargerMaxUntilItEnds) {
  EXPECT_FALSE(memory_.find(kKey, 10, 50, kNow));
  remember();
  EXPECT_TRUE(memory_.find(kKey, 10, 50, kNow));
  EXPECT_TRUE(memory_.find(kKey, 11, 40, kNow));
  EXPECT_EQ(memory_.find(kKey, 11, 40, kNow)->fits_at, kNow + 5s);
  EXPECT_FALSE(memory_.find(kKey, 9, 50, kNow));
  EXPECT_FALSE(memory_.find(kKey, 10, 51, kNow)) << "a raised limit helps at once";
  EXPECT_FALSE(memory_.find(kKey, 10, 50, kNow + 1s));
  EXPECT_FALSE(memory_.find(RefusalMemory::Key{"other"}, 10, 50, kNow));
}

TEST_F(Memory, ForgetsWhatRedisSaidBeforeSomethingWasGivenBack) {
  const std::uint64_t version = memory_.version(kKey);
  remember(version);
  memory_.forget(kKey);
  EXPECT_FALSE(memory_.find(kKey, 10, 50, kNow));
  remember(version);  // of a request that was sent before forget()
  EXPECT_FALSE(memory_.find(kKey, 10, 50, kNow));
  remember(memory_.version(kKey));
  EXPECT_TRUE(memory_.find(kKey, 10, 50, kNow));
}

TEST(OncePerWindows, AreFirstOnceUntilTheirEnd) {
  OncePerWindow seen{2};
  const OncePerWindow::Time now{10h};
  EXPECT_TRUE(seen.is_first(6, now, now + 1min));
  EXPECT_FALSE(seen.is_first(6, now + 59s, now + 2min));
  EXPECT_TRUE(seen.is_first(7, now, now + 1min));
  EXPECT_TRUE(seen.is_first(6, now + 1min, now + 2min));
}

TEST(ShareWindows, AreFixedOnesOfTheLimitsLengthOrMonths) {
  using std::chrono::January;
  using std::chrono::sys_days;
  using std::chrono::system_clock;
  const auto number = [](const Window& window, system_clock::time_point at) {
    return decisions::share_window(window, at).number;
  };
  const system_clock::time_point epoch{};
  EXPECT_EQ(number(Window::sliding(1min), epoch + 59s), 0);
  EXPECT_EQ(number(Window::sliding(1min), epoch + 60s), 1);
  EXPECT_EQ(number(Window::fixed(1min), epoch - 1s), -1);
  const auto last_of_january = sys_days{2026y / January / 31};
  EXPECT_EQ(number(Window::utc_month(), last_of_january) + 1, number(Window::utc_month(), last_of_january + 24h));
  EXPECT_EQ(number(Window::utc_month(), last_of_january), number(Window::utc_month(), last_of_january + 23h));
}

}  // namespace
}  // namespace tollgate
