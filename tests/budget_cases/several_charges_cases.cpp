#include <chrono>
#include <string>
#include <vector>

#include "budget_cases.hpp"

namespace tollgate::inline v0::testing {

std::vector<BudgetCase> several_charges_cases() {
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
       {{a, 45'000}, {r, 120'000}}},
      {"RefusalIsRecorded",
       {},
       {kCharge, {{a, minute, 100, 101}}, {}, r, 120},
       {{0, kNow, 3, 100, 100, 45'000, -1, 29453760}},
       {{r, "0 1767225615000 3 100 100 45000 -1 29453760"}},
       {{r, 120'000}}},
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
       {{a, 45'000}, {r, 120'000}}},
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

}  // namespace tollgate::inline v0::testing
