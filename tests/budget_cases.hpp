/// The specification of budget.lua, as a table: the same cases run against the Lua in a real Redis and against its C++
/// twin.
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

inline std::vector<BudgetCase> fixed_budget_cases() {
  using std::chrono::seconds;
  constexpr auto kCharge = budget_script::Mode::kCharge;
  constexpr auto kPeek = budget_script::Mode::kPeek;
  constexpr auto kAdjust = budget_script::Mode::kAdjust;
  const auto& a = kLimitA;
  const Window minute = Window::fixed(seconds{60});  // number 29453760, until kNow + 45 s
  const Window month = Window::utc_month();          // number 672, until kNow + 31 days - 15 s
  const std::string max53 = std::to_string(kMax53);
  return {
      {"FixedFirstCharge",
       {},
       {kCharge, {{a, minute, 100, 30}}},
       {{1, kNow, 0, 100, 70, 45'000, 0, 29453760}},
       {{a, "0 60 29453760 30"}},
       {{a, 45'000}}},
      {"FixedLastTokensFit",
       {{a, "0 60 29453760 70"}},
       {kCharge, {{a, minute, 100, 30}}},
       {{1, kNow, 0, 100, 0, 45'000, 0, 29453760}},
       {{a, "0 60 29453760 100"}},
       {{a, 45'000}}},
      {"FixedOneOverIsRefused",
       {{a, "0 60 29453760 70"}},
       {kCharge, {{a, minute, 100, 31}}},
       {{0, kNow, 1, 100, 30, 45'000, 45'000, 29453760}},
       {{a, "0 60 29453760 70"}}},
      {"FixedLargerThanMaxNeverFits",
       {},
       {kCharge, {{a, minute, 100, 101}}},
       {{0, kNow, 3, 100, 100, 45'000, -1, 29453760}},
       {}},
      {"FixedNothingFitsADebt",
       {{a, "0 60 29453760 101"}},
       {kCharge, {{a, minute, 100, 0}}},
       {{0, kNow, 1, 100, 0, 45'000, 45'000, 29453760}},
       {{a, "0 60 29453760 101"}}},
      {"FixedCostOfZeroWritesNothing",
       {},
       {kCharge, {{a, minute, 100, 0}}},
       {{1, kNow, 0, 100, 100, 45'000, 0, 29453760}},
       {}},
      {"FixedEarlierWindowCountsNothing",
       {{a, "0 60 29453759 100"}},
       {kCharge, {{a, minute, 100, 1}}},
       {{1, kNow, 0, 100, 99, 45'000, 0, 29453760}},
       {{a, "0 60 29453760 1"}},
       {{a, 45'000}}},
      {"FixedLaterWindowGoesOnWhenTheClockJumpedBack",
       {{a, "0 60 29453762 90"}},
       {kCharge, {{a, minute, 100, 5}}},
       {{1, kNow, 0, 100, 5, 165'000, 0, 29453762}},
       {{a, "0 60 29453762 95"}},
       {{a, 165'000}}},
      {"FixedOtherLengthCountsNothing",
       {{a, "0 3600 490896 100"}},
       {kCharge, {{a, minute, 100, 1}}},
       {{1, kNow, 0, 100, 99, 45'000, 0, 29453760}},
       {{a, "0 60 29453760 1"}},
       {{a, 45'000}}},
      {"FixedOtherKindCountsNothing",
       {{a, "1 0 672 100"}},
       {kCharge, {{a, minute, 100, 1}}},
       {{1, kNow, 0, 100, 99, 45'000, 0, 29453760}},
       {{a, "0 60 29453760 1"}},
       {{a, 45'000}}},
      {"FixedPeekWritesNothing",
       {{a, "0 60 29453760 70"}},
       {kPeek, {{a, minute, 100, 30}}},
       {{1, kNow, 0, 100, 30, 45'000, 0, 29453760}},
       {{a, "0 60 29453760 70"}}},
      {"FixedPeekSaysWhatWouldNotFit",
       {{a, "0 60 29453760 70"}},
       {kPeek, {{a, minute, 100, 31}}},
       {{0, kNow, 1, 100, 30, 45'000, 45'000, 29453760}},
       {{a, "0 60 29453760 70"}}},
      {"FixedGivesBackToItsWindow",
       {{a, "0 60 29453760 70"}},
       {kAdjust, {{a, minute, 100, -30, 29453760}}},
       {{1, kNow, 0, 100, 60, 45'000, 0, 29453760}},
       {{a, "0 60 29453760 40"}},
       {{a, 45'000}}},
      {"FixedGivesNothingBackToAnEndedWindow",
       {{a, "0 60 29453760 70"}},
       {kAdjust, {{a, minute, 100, -30, 29453759}}},
       {{1, kNow, 0, 100, 30, 45'000, 0, 29453760}},
       {{a, "0 60 29453760 70"}}},
      {"FixedGivesBackToNothing",
       {},
       {kAdjust, {{a, minute, 100, -30}}},
       {{1, kNow, 0, 100, 100, 45'000, 0, 29453760}},
       {}},
      {"FixedGivesBackNoMoreThanThereIs",
       {{a, "0 60 29453760 20"}},
       {kAdjust, {{a, minute, 100, -30}}},
       {{1, kNow, 0, 100, 100, 45'000, 0, 29453760}},
       {{a, "0 60 29453760 0"}},
       {{a, 45'000}}},
      {"FixedAddsPastTheLimit",
       {{a, "0 60 29453760 90"}},
       {kAdjust, {{a, minute, 100, 30}}},
       {{1, kNow, 0, 100, 0, 45'000, 0, 29453760}},
       {{a, "0 60 29453760 120"}},
       {{a, 45'000}}},
      {"FixedLargestFitsExactly",
       {{a, "0 60 29453760 1"}},
       {kCharge, {{a, minute, kMax53, kMax53 - 1}}},
       {{1, kNow, 0, kMax53, 0, 45'000, 0, 29453760}},
       {{a, "0 60 29453760 " + max53}},
       {{a, 45'000}}},
      {"FixedLargestOneOver",
       {{a, "0 60 29453760 2"}},
       {kCharge, {{a, minute, kMax53, kMax53 - 1}}},
       {{0, kNow, 1, kMax53, kMax53 - 2, 45'000, 45'000, 29453760}},
       {{a, "0 60 29453760 2"}}},
      {"FixedCountsNoFurtherThanTheLargest",
       {{a, "0 60 29453760 " + max53}},
       {kAdjust, {{a, minute, 9, kMax53}}},
       {{1, kNow, 0, 9, 0, 45'000, 0, 29453760}},
       {{a, "0 60 29453760 " + max53}},
       {{a, 45'000}}},
      {"MonthFirstCharge",
       {},
       {kCharge, {{a, month, 100, 30}}},
       {{1, kNow, 0, 100, 70, 2'678'385'000, 0, 672}},
       {{a, "1 0 672 30"}},
       {{a, 2'678'385'000}}},
      {"MonthEndsOnALeapDay",
       {},
       {kCharge, {{a, month, 100, 30}}},
       {{1, 1'709'164'800'000, 0, 100, 70, 86'400'000, 0, 649}},
       {{a, "1 0 649 30"}},
       {{a, 86'400'000}},
       {},
       1'709'164'800'000},
      {"MonthBeginsAnew",
       {{a, "1 0 671 100"}},
       {kCharge, {{a, month, 100, 30}}},
       {{1, kNow, 0, 100, 70, 2'678'385'000, 0, 672}},
       {{a, "1 0 672 30"}},
       {{a, 2'678'385'000}}},
  };
}

inline std::vector<BudgetCase> bucket_cases() {
  using std::chrono::seconds;
  constexpr auto kCharge = budget_script::Mode::kCharge;
  constexpr auto kAdjust = budget_script::Mode::kAdjust;
  const auto& a = kLimitA;
  const Window bucket = Window::token_bucket(seconds{60});
  const auto at = [](std::int64_t ms) { return std::to_string(kNow + ms); };
  return {
      {"BucketFirstCharge",
       {},
       {kCharge, {{a, bucket, 100, 30}}},
       {{1, kNow, 0, 100, 70, 18'000, 0, kNow}},
       {{a, "2 60 " + at(0) + " 30 0 " + at(0) + " 0"}},
       {{a, 18'000}}},
      {"BucketRefills",
       {{a, "2 60 " + at(-6'000) + " 30 0"}},
       {kCharge, {{a, bucket, 100, 80}}},
       {{1, kNow, 0, 100, 0, 60'000, 0, kNow}},
       {{a, "2 60 " + at(0) + " 100 0 " + at(0) + " 20"}},
       {{a, 60'000}}},
      {"BucketKeepsThePartOfAToken",
       {{a, "2 60 " + at(-100) + " 30 0"}},
       {kCharge, {{a, bucket, 100, 1}}},
       {{1, kNow, 0, 100, 69, 18'500, 0, kNow}},
       {{a, "2 60 " + at(0) + " 31 10000 " + at(0) + " 29"}},
       {{a, 18'500}}},
      {"BucketRefusesUntilRefilled",
       {{a, "2 60 " + at(-100) + " 30 0"}},
       {kCharge, {{a, bucket, 100, 71}}},
       {{0, kNow, 1, 100, 70, 17'900, 500, kNow}},
       {{a, "2 60 " + at(-100) + " 30 0"}}},
      {"BucketWaitIsRoundedUp",
       {{a, "2 60 " + at(0) + " 7 0"}},
       {kCharge, {{a, bucket, 7, 1}}},
       {{0, kNow, 1, 7, 0, 60'000, 8'572, kNow}},
       {{a, "2 60 " + at(0) + " 7 0"}}},
      {"BucketLargerThanMaxNeverFits",
       {},
       {kCharge, {{a, bucket, 100, 101}}},
       {{0, kNow, 3, 100, 100, 0, -1, kNow}},
       {}},
      {"BucketIsFullAfterAPeriod",
       {{a, "2 60 " + at(-60'000) + " 100 59999"}},
       {kCharge, {{a, bucket, 100, 100}}},
       {{1, kNow, 0, 100, 0, 60'000, 0, kNow}},
       {{a, "2 60 " + at(0) + " 100 0 " + at(0) + " 0"}},
       {{a, 60'000}}},
      {"BucketDebtTakesSeveralPeriods",
       {{a, "2 60 " + at(-120'000) + " 350 0"}},
       {kCharge, {{a, bucket, 100, 1}}},
       {{0, kNow, 1, 100, 0, 90'000, 30'600, kNow}},
       {{a, "2 60 " + at(-120'000) + " 350 0"}}},
      {"BucketRefillsNothingBackwards",
       {{a, "2 60 " + at(5'000) + " 90 0"}},
       {kCharge, {{a, bucket, 100, 10}}},
       {{1, kNow, 0, 100, 0, 65'000, 0, kNow + 5'000}},
       {{a, "2 60 " + at(5'000) + " 100 0 " + at(5'000) + " 90"}},
       {{a, 65'000}}},
      {"BucketCountsLongPeriodsInSeconds",
       {},
       {kCharge, {{a, Window::token_bucket(seconds{864'000}), 10, 1}}},
       {{1, kNow, 0, 10, 9, 86'400'000, 0, kNow / 1000}},
       {{a, "2 864000 1767225615 1 0 1767225615 0"}},
       {{a, 86'400'000}}},
      {"BucketOfZeroRefillsNothing",
       {{a, "2 60 " + at(-1'000) + " 1 0"}},
       {kCharge, {{a, bucket, 0, 0}}},
       {{0, kNow, 1, 0, 0, 60'000, 60'000, kNow}},
       {{a, "2 60 " + at(-1'000) + " 1 0"}}},
      {"BucketGivesBack",
       {{a, "2 60 " + at(-1'200) + " 50 0 " + at(-1'200) + " 0"}},
       {kAdjust, {{a, bucket, 100, -40, kNow - 1'200}}},
       {{1, kNow, 0, 100, 92, 4'800, 0, kNow}},
       {{a, "2 60 " + at(0) + " 8 0 " + at(-1'200) + " 0"}},
       {{a, 4'800}}},
      {"BucketGivesBackWhatIsNotRefilled",
       {{a, "2 60 " + at(-12'000) + " 50 0 " + at(-12'000) + " 0"}},
       {kAdjust, {{a, bucket, 100, -40, kNow - 12'000}}},
       {{1, kNow, 0, 100, 100, 0, 0, kNow}},
       {{a, "2 60 " + at(0) + " 0 0"}},
       {{a, 1}}},
      {"BucketGivesBackTheLeastSinceTheCharge",  // 100 charged 50 s ago; 17 of them were left when others charged 80
       {{a, "2 60 " + at(0) + " 97 20000 " + at(-50'000) + " 0 " + at(0) + " 17"}},
       {kAdjust, {{a, bucket, 100, -90, kNow - 50'000}}},
       {{1, kNow, 0, 100, 20, 47'800, 0, kNow}},
       {{a, "2 60 " + at(0) + " 80 20000 " + at(0) + " 0"}},
       {{a, 47'800}}},
      {"BucketGivesNothingBackAfterAPeriod",
       {{a, "2 60 " + at(0) + " 90 0"}},
       {kAdjust, {{a, bucket, 100, -40, kNow - 60'000}}},
       {{1, kNow, 0, 100, 10, 54'000, 0, kNow}},
       {{a, "2 60 " + at(0) + " 90 0"}}},
      {"BucketAddsPastTheLimit",
       {},
       {kAdjust, {{a, bucket, 100, 130}}},
       {{1, kNow, 0, 100, 0, 78'000, 0, kNow}},
       {{a, "2 60 " + at(0) + " 130 0 " + at(0) + " 0"}},
       {{a, 78'000}}},
      {"BucketDebtExpiresAfter400Days",
       {},
       {kAdjust, {{a, bucket, 1, kMax53}}},
       {{1, kNow, 0, 1, 0, kMax53 - kNow, 0, kNow}},
       {{a, "2 60 " + at(0) + " " + std::to_string(kMax53) + " 0 " + at(0) + " 0"}},
       {{a, 34'560'000'000}}},
  };
}

inline std::vector<BudgetCase> sliding_cases() {
  using std::chrono::seconds;
  constexpr auto kCharge = budget_script::Mode::kCharge;
  constexpr auto kAdjust = budget_script::Mode::kAdjust;
  const auto& a = kLimitA;
  const Window sliding = Window::sliding(seconds{60});  // sub-windows of 3750 ms; number 471260164 begins at kNow
  return {
      {"SlidingFirstCharge",
       {},
       {kCharge, {{a, sliding, 100, 30}}},
       {{1, kNow, 0, 100, 70, 63'750, 0, 471260164}},
       {{a, "3 60 471260164 30"}},
       {{a, 63'750}}},
      {"SlidingCountsSixteenEarlierOnes",
       {{a, "3 60 471260148 100"}},
       {kCharge, {{a, sliding, 100, 1}}},
       {{0, kNow, 1, 100, 0, 3'750, 3'750, 471260164}},
       {{a, "3 60 471260148 100"}}},
      {"SlidingCountsNoSeventeenth",
       {{a, "3 60 471260147 100"}},
       {kCharge, {{a, sliding, 100, 1}}},
       {{1, kNow, 0, 100, 99, 63'750, 0, 471260164}},
       {{a, "3 60 471260164 1"}},
       {{a, 63'750}}},
      {"SlidingMovesTheCounts",
       {{a, "3 60 471260162 10 0 20"}},
       {kCharge, {{a, sliding, 100, 5}}},
       {{1, kNow, 0, 100, 65, 63'750, 0, 471260164}},
       {{a, "3 60 471260164 5 0 10 0 20"}},
       {{a, 63'750}}},
      {"SlidingWaitsForTheOldestThatAreEnough",
       {{a, "3 60 471260164 10 20 30 40"}},
       {kCharge, {{a, sliding, 100, 41}}},
       {{0, kNow, 1, 100, 0, 63'750, 56'250, 471260164}},
       {{a, "3 60 471260164 10 20 30 40"}}},
      {"SlidingGivesBackToItsSubWindow",
       {{a, "3 60 471260164 10 20"}},
       {kAdjust, {{a, sliding, 100, -15, 471260163}}},
       {{1, kNow, 0, 100, 85, 63'750, 0, 471260164}},
       {{a, "3 60 471260164 10 5"}},
       {{a, 63'750}}},
      {"SlidingGivesNothingBackToWhatIsOut",
       {{a, "3 60 471260164 10 20"}},
       {kAdjust, {{a, sliding, 100, -15, 471260147}}},
       {{1, kNow, 0, 100, 70, 63'750, 0, 471260164}},
       {{a, "3 60 471260164 10 20"}}},
      {"SlidingGivesNothingBackToWhatIsToCome",
       {{a, "3 60 471260164 10"}},
       {kAdjust, {{a, sliding, 100, -5, 471260165}}},
       {{1, kNow, 0, 100, 90, 63'750, 0, 471260164}},
       {{a, "3 60 471260164 10"}}},
      {"SlidingStaysWhenTheClockJumpedBack",
       {{a, "3 60 471260170 50 40"}},
       {kCharge, {{a, sliding, 100, 10}}},
       {{1, kNow, 0, 100, 0, 86'250, 0, 471260170}},
       {{a, "3 60 471260170 60 40"}},
       {{a, 86'250}}},
      {"SlidingOfOneSecondEndsBetweenMilliseconds",
       {},
       {kCharge, {{a, Window::sliding(seconds{1}), 9, 1}}},
       {{1, kNow, 0, 9, 8, 1'063, 0, 28275609840}},
       {{a, "3 1 28275609840 1"}},
       {{a, 1'063}}},
  };
}

inline std::vector<BudgetCase> slots_cases() {
  using std::chrono::seconds;
  constexpr auto kCharge = budget_script::Mode::kCharge;
  constexpr auto kPeek = budget_script::Mode::kPeek;
  constexpr auto kAdjust = budget_script::Mode::kAdjust;
  const auto& a = kLimitA;
  const Window slots = Window::concurrent(seconds{60});
  const auto lease = [](std::int64_t id, std::int64_t held, std::int64_t ms) {
    return " " + std::to_string(id) + " " + std::to_string(held) + " " + std::to_string(kNow + ms);
  };
  std::string thousand = "4 60";
  for (int i = 0; i < 1000; ++i) thousand += lease(1000 + i, 1, 5'000);
  return {
      {"SlotIsTaken",
       {},
       {kCharge, {{a, slots, 2, 1, 7}}},
       {{1, kNow, 0, 2, 1, 60'000, 0, 7}},
       {{a, "4 60" + lease(7, 1, 60'000)}},
       {{a, 60'000}}},
      {"SlotsThatEndedAreFree",
       {{a, "4 60" + lease(7, 2, 0)}},
       {kCharge, {{a, slots, 2, 2, 8}}},
       {{1, kNow, 0, 2, 0, 60'000, 0, 8}},
       {{a, "4 60" + lease(8, 2, 60'000)}},
       {{a, 60'000}}},
      {"SlotsAreRefusedUntilLeasesEnd",
       {{a, "4 60" + lease(7, 1, 1'000) + lease(8, 1, 2'000)}},
       {kCharge, {{a, slots, 2, 2, 9}}},
       {{0, kNow, 1, 2, 0, 2'000, 2'000, 0}},
       {{a, "4 60" + lease(7, 1, 1'000) + lease(8, 1, 2'000)}}},
      {"SlotsMoreThanMaxNeverFit", {}, {kCharge, {{a, slots, 2, 3, 9}}}, {{0, kNow, 3, 2, 2, 0, -1, 0}}, {}},
      {"SlotIsRenewed",
       {{a, "4 60" + lease(7, 1, 1'000) + lease(8, 1, 2'000)}},
       {kCharge, {{a, slots, 2, 1, 7}}},
       {{1, kNow, 0, 2, 0, 60'000, 0, 7}},
       {{a, "4 60" + lease(8, 1, 2'000) + lease(7, 1, 60'000)}},
       {{a, 60'000}}},
      {"SlotIsRenewedByACostOfZero",
       {{a, "4 60" + lease(7, 1, 1'000)}},
       {kCharge, {{a, slots, 1, 0, 7}}},
       {{1, kNow, 0, 1, 0, 60'000, 0, 7}},
       {{a, "4 60" + lease(7, 1, 60'000)}},
       {{a, 60'000}}},
      {"SlotIsRenewedUnderALowerMax",
       {{a, "4 60" + lease(7, 1, 1'000) + lease(8, 1, 2'000)}},
       {kCharge, {{a, slots, 1, 1, 7}}},
       {{1, kNow, 0, 1, 0, 60'000, 0, 7}},
       {{a, "4 60" + lease(8, 1, 2'000) + lease(7, 1, 60'000)}},
       {{a, 60'000}}},
      {"LeaseGrows",
       {{a, "4 60" + lease(7, 1, 1'000)}},
       {kCharge, {{a, slots, 3, 3, 7}}},
       {{1, kNow, 0, 3, 0, 60'000, 0, 7}},
       {{a, "4 60" + lease(7, 3, 60'000)}},
       {{a, 60'000}}},
      {"LeaseGrowsNoFurtherThanMax",
       {{a, "4 60" + lease(7, 1, 1'000) + lease(8, 2, 2'000)}},
       {kCharge, {{a, slots, 4, 3, 7}}},
       {{0, kNow, 1, 4, 1, 2'000, 2'000, 7}},
       {{a, "4 60" + lease(7, 1, 1'000) + lease(8, 2, 2'000)}}},
      {"CostOfZeroTakesNoSlot", {}, {kCharge, {{a, slots, 1, 0, 7}}}, {{1, kNow, 0, 1, 1, 0, 0, 0}}, {}},
      {"SlotPeek",
       {{a, "4 60" + lease(7, 1, 1'000)}},
       {kPeek, {{a, slots, 1, 1}}},
       {{0, kNow, 1, 1, 0, 1'000, 1'000, 0}},
       {{a, "4 60" + lease(7, 1, 1'000)}}},
      {"SlotIsFreed",
       {{a, "4 60" + lease(7, 1, 1'000) + lease(8, 1, 2'000)}},
       {kAdjust, {{a, slots, 2, -1, 7}}},
       {{1, kNow, 0, 2, 1, 2'000, 0, 0}},
       {{a, "4 60" + lease(8, 1, 2'000)}},
       {{a, 2'000}}},
      {"SlotIsFreedOnce",
       {{a, "4 60" + lease(8, 1, 2'000)}},
       {kAdjust, {{a, slots, 2, -1, 7}}},
       {{1, kNow, 0, 2, 1, 2'000, 0, 0}},
       {{a, "4 60" + lease(8, 1, 2'000)}}},
      {"LastSlotIsFreed",
       {{a, "4 60" + lease(8, 1, 2'000)}},
       {kAdjust, {{a, slots, 2, -5, 8}}},
       {{1, kNow, 0, 2, 2, 0, 0, 0}},
       {{a, "4 60"}},
       {{a, 1}}},
      {"SlotsAreFreedInPart",
       {{a, "4 60" + lease(8, 5, 2'000)}},
       {kAdjust, {{a, slots, 5, -2, 8}}},
       {{1, kNow, 0, 5, 2, 2'000, 0, 8}},
       {{a, "4 60" + lease(8, 3, 2'000)}},
       {{a, 2'000}}},
      {"LeasesEndInTheirOrderWhenTheClockJumpedBack",
       {{a, "4 60" + lease(8, 1, 70'000)}},
       {kCharge, {{a, slots, 2, 1, 7}}},
       {{1, kNow, 0, 2, 0, 70'000, 0, 7}},
       {{a, "4 60" + lease(8, 1, 70'000) + lease(7, 1, 70'000)}},
       {{a, 70'000}}},
      {"SlotsAreAtMostAThousand",
       {},
       {kCharge, {{a, slots, 5'000, 1'001, 7}}},
       {{0, kNow, 3, 1'000, 1'000, 0, -1, 0}},
       {}},
      {"LeasesAreAtMostAThousand",
       {{a, thousand}},
       {kAdjust, {{a, slots, 1'000, 1, 7}}},
       {{1, kNow, 0, 1'000, 0, 5'000, 0, 0}},
       {{a, thousand}}},
  };
}

inline std::vector<BudgetCase> several_charges_cases() {
  using std::chrono::seconds;
  constexpr auto kCharge = budget_script::Mode::kCharge;
  constexpr auto kPeek = budget_script::Mode::kPeek;
  constexpr auto kAdjust = budget_script::Mode::kAdjust;
  const auto& a = kLimitA;
  const auto& b = kLimitB;
  const auto& o = kOverrides;
  const auto& r = kOperation;
  const Window minute = Window::fixed(seconds{60});
  const Window sliding = Window::sliding(seconds{60});
  const std::string answered = "1 " + std::to_string(kNow - 5) + " 0 100 70 45005 0 29453760";
  std::vector<BudgetCase> cases{
      {"AllAreCharged",
       {{b, "3 60 471260164 10"}},
       {kCharge, {{a, minute, 100, 30}, {b, sliding, 50, 1}}},
       {{1, kNow, 0, 100, 70, 45'000, 0, 29453760, 0, 50, 39, 63'750, 0, 471260164}},
       {{a, "0 60 29453760 30"}, {b, "3 60 471260164 11"}},
       {{a, 45'000}, {b, 63'750}}},
      {"OneRefusesAndNoneIsCharged",
       {{b, "3 60 471260164 50"}},
       {kCharge, {{a, minute, 100, 30}, {b, sliding, 50, 1}}},
       {{0, kNow, 0, 100, 100, 45'000, 0, 29453760, 1, 50, 0, 63'750, 63'750, 471260164}},
       {{b, "3 60 471260164 50"}}},
      {"AllThatRefuseSaySo",
       {{b, "3 60 471260164 50"}},
       {kCharge, {{a, minute, 100, 101}, {b, sliding, 50, 1}}},
       {{0, kNow, 3, 100, 100, 45'000, -1, 29453760, 1, 50, 0, 63'750, 63'750, 471260164}},
       {{b, "3 60 471260164 50"}}},
      {"DamageOfOneChargesNone",
       {{b, "3 60 x"}},
       {kCharge, {{a, minute, 100, 30}, {b, sliding, 50, 1}}},
       {},
       {{b, "3 60 x"}}},
      {"ShadowNeverRefusesAndCounts",
       {{a, "0 60 29453760 100"}},
       {kCharge, {{a, minute, 100, 30, -1, true}, {b, sliding, 50, 1}}},
       {{1, kNow, 4, 100, 0, 45'000, 45'000, 29453760, 0, 50, 49, 63'750, 0, 471260164}},
       {{a, "0 60 29453760 130"}, {b, "3 60 471260164 1"}},
       {{a, 45'000}, {b, 63'750}}},
      {"ShadowCountsNothingWhereAnotherRefuses",
       {{b, "3 60 471260164 50"}},
       {kCharge, {{a, minute, 100, 101, -1, true}, {b, sliding, 50, 1}}},
       {{0, kNow, 6, 100, 100, 45'000, -1, 29453760, 1, 50, 0, 63'750, 63'750, 471260164}},
       {{b, "3 60 471260164 50"}}},
      {"SomeGiveBackAndOthersAdd",
       {{a, "0 60 29453760 100"}, {b, "3 60 471260164 10"}},
       {kAdjust, {{a, minute, 100, -30, 29453760}, {b, sliding, 50, 45}}},
       {{1, kNow, 0, 100, 30, 45'000, 0, 29453760, 0, 50, 0, 63'750, 0, 471260164}},
       {{a, "0 60 29453760 70"}, {b, "3 60 471260164 55"}},
       {{a, 45'000}, {b, 63'750}}},
      {"OverrideIsInForce",
       {},
       {kCharge, {{a, minute, 100, 150}, {b, minute, 7, 1}}, {o, o}},
       {{1, kNow, 0, 200, 50, 45'000, 0, 29453760, 0, 7, 6, 45'000, 0, 29453760}},
       {{a, "0 60 29453760 150"}, {b, "0 60 29453760 1"}},
       {{a, 45'000}, {b, 45'000}},
       {{"a", "200"}}},
      {"LowerOverrideBindsAtOnce",
       {{a, "0 60 29453760 50"}},
       {kCharge, {{a, minute, 100, 1}}, {o}},
       {{0, kNow, 1, 20, 0, 45'000, 45'000, 29453760}},
       {{a, "0 60 29453760 50"}},
       {},
       {{"a", "20"}}},
      {"OverrideOfZeroIsOne",
       {},
       {kCharge, {{a, minute, 100, 1}}, {o}},
       {{0, kNow, 3, 0, 0, 45'000, -1, 29453760}},
       {},
       {},
       {{"a", "0"}}},
      {"OverrideOfSlotsIsAtMostAThousand",
       {},
       {kPeek, {{a, Window::concurrent(seconds{9}), 100, 1}}, {o}},
       {{1, kNow, 0, 1'000, 1'000, 0, 0, 0}},
       {},
       {},
       {{"a", "5000"}}},
      {"ChargeIsRecorded",
       {},
       {kCharge, {{a, minute, 100, 30}}, {}, r, 120},
       {{1, kNow, 0, 100, 70, 45'000, 0, 29453760}},
       {{a, "0 60 29453760 30"}, {r, "1 1767225615000 0 100 70 45000 0 29453760"}},
       {{a, 45'000}}},
      {"RefusalIsRecorded",
       {},
       {kCharge, {{a, minute, 100, 101}}, {}, r, 120},
       {{0, kNow, 3, 100, 100, 45'000, -1, 29453760}},
       {{r, "0 1767225615000 3 100 100 45000 -1 29453760"}}},
      {"RepeatedChargeHasTheFirstReply",
       {{r, answered}},
       {kCharge, {{a, minute, 100, 30}}, {}, r, 120},
       {{1, kNow - 5, 0, 100, 70, 45'005, 0, 29453760}},
       {{r, answered}}},
      {"AdjustmentIsRecorded",
       {{a, "0 60 29453760 30"}},
       {kAdjust, {{a, minute, 100, -30}}, {}, r, 120},
       {{1, kNow, 0, 100, 100, 45'000, 0, 29453760}},
       {{a, "0 60 29453760 0"}, {r, "1"}},
       {{a, 45'000}}},
      {"RepeatedAdjustmentChangesNothing",
       {{a, "0 60 29453760 30"}, {r, "1"}},
       {kAdjust, {{a, minute, 100, -30}}, {}, r, 120},
       {{-2, kNow}},
       {{a, "0 60 29453760 30"}, {r, "1"}}},
      {"DamagedRecord", {{r, "1 2"}}, {kCharge, {{a, minute, 100, 30}}, {}, r, 120}, {}, {{r, "1 2"}}},
      {"DamageIsNotRecorded", {{a, "x"}}, {kCharge, {{a, minute, 100, 30}}, {}, r, 120}, {}, {{a, "x"}}},
  };
  for (const char* value :
       {"-1", "", "x", "1.5", " 5", "5 ", "1e3", "0x10", "9007199254740992", "99999999999999999999"}) {
    cases.push_back({"OverrideIsIgnored:" + std::string{value},
                     {},
                     {kCharge, {{a, minute, 100, 1}}, {o}},
                     {{1, kNow, 8, 100, 99, 45'000, 0, 29453760}},
                     {{a, "0 60 29453760 1"}},
                     {{a, 45'000}},
                     {{"a", value}}});
  }
  return cases;
}

/// Stored texts that no window has written.
inline std::vector<BudgetCase> damaged_state_cases() {
  using std::chrono::seconds;
  std::vector<BudgetCase> cases;
  const auto add = [&cases](Window window, const std::vector<std::string>& texts) {
    for (const std::string& text : texts) {
      cases.push_back({"Damaged:" + text,
                       {{kLimitA, text}},
                       {budget_script::Mode::kCharge, {{kLimitA, window, 100, 1, 7}}},
                       {},
                       {{kLimitA, text}}});
    }
  };
  add(Window::fixed(seconds{60}),
      {"", "0", "x", "0 60", "0 60 29453760", "0 60 29453760 1 1", "0 60 29453760 -1", "0 60 29453760 1.5",
       " 0 60 29453760 1", "0 60 29453760 1 ", "0  60 29453760 1", "0 60 29453760 9007199254740992",
       "0 60 29453760 99999999999999999999", "0 60 29453760 1e2", "0 60 29453760\t1", "-0 60 29453760 1"});
  add(Window::token_bucket(seconds{60}),
      {"2 60", "2 60 1767225615000 1", "2 60 1767225615000 1 60000", "2 60 1767225615000 1 0 1767225615000"});
  add(Window::sliding(seconds{60}),
      {"3 60", "3 60 471260164", "3 60 471260164 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18"});
  add(Window::concurrent(seconds{60}), {"4 60 7", "4 60 7 1", "4 60 7 1 1767225675000 8"});
  return cases;
}

inline std::vector<BudgetCase> budget_cases() {
  std::vector<BudgetCase> all;
  for (auto* make :
       {fixed_budget_cases, bucket_cases, sliding_cases, slots_cases, several_charges_cases, damaged_state_cases}) {
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
