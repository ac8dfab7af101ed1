#include <chrono>
#include <string>
#include <vector>

#include "budget_cases.hpp"

namespace tollgate::inline v0::testing {

std::vector<BudgetCase> sliding_cases() {
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

}  // namespace tollgate::inline v0::testing
