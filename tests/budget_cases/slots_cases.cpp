#include <chrono>
#include <string>
#include <vector>

#include "budget_cases.hpp"

namespace tollgate::inline v0::testing {

std::vector<BudgetCase> slots_cases() {
  using std::chrono::seconds;
  constexpr auto kCharge = budget_script::Mode::kCharge;
  constexpr auto kPeek = budget_script::Mode::kPeek;
  constexpr auto kAdjust = budget_script::Mode::kAdjust;
  const auto& a = kLimitA;
  const Window slots = Window::concurrent(seconds{60});
  const auto lease = [](std::int64_t id, std::int64_t held, std::int64_t ms) {
    return " " + std::to_string(id) + ":" + std::to_string(held) + ":" + std::to_string(kNow + ms);
  };
  std::string thousand = "4 60 1000";
  for (int i = 0; i < 1000; ++i) thousand += lease(1000 + i, 1, 5'000);
  return {
      {"SlotIsTaken",
       {},
       {kCharge, {{a, slots, 2, 1, 7}}},
       {{1, kNow, 0, 2, 1, 60'000, 0, 7}},
       {{a, "4 60 1" + lease(7, 1, 60'000)}},
       {{a, 60'000}}},
      {"SlotsThatEndedAreFree",
       {{a, "4 60 2" + lease(7, 2, 0)}},
       {kCharge, {{a, slots, 2, 2, 8}}},
       {{1, kNow, 0, 2, 0, 60'000, 0, 8}},
       {{a, "4 60 2" + lease(8, 2, 60'000)}},
       {{a, 60'000}}},
      {"SlotsAreRefusedUntilLeasesEnd",
       {{a, "4 60 2" + lease(7, 1, 1'000) + lease(8, 1, 2'000)}},
       {kCharge, {{a, slots, 2, 2, 9}}},
       {{0, kNow, 1, 2, 0, 2'000, 2'000, 0}},
       {{a, "4 60 2" + lease(7, 1, 1'000) + lease(8, 1, 2'000)}}},
      {"SlotsMoreThanMaxNeverFit", {}, {kCharge, {{a, slots, 2, 3, 9}}}, {{0, kNow, 3, 2, 2, 0, -1, 0}}, {}},
      {"SlotIsRenewed",
       {{a, "4 60 2" + lease(7, 1, 1'000) + lease(8, 1, 2'000)}},
       {kCharge, {{a, slots, 2, 1, 7}}},
       {{1, kNow, 0, 2, 0, 60'000, 0, 7}},
       {{a, "4 60 2" + lease(8, 1, 2'000) + lease(7, 1, 60'000)}},
       {{a, 60'000}}},
      {"SlotIsRenewedByACostOfZero",
       {{a, "4 60 1" + lease(7, 1, 1'000)}},
       {kCharge, {{a, slots, 1, 0, 7}}},
       {{1, kNow, 0, 1, 0, 60'000, 0, 7}},
       {{a, "4 60 1" + lease(7, 1, 60'000)}},
       {{a, 60'000}}},
      {"SlotIsRenewedUnderALowerMax",
       {{a, "4 60 2" + lease(7, 1, 1'000) + lease(8, 1, 2'000)}},
       {kCharge, {{a, slots, 1, 1, 7}}},
       {{1, kNow, 0, 1, 0, 60'000, 0, 7}},
       {{a, "4 60 2" + lease(8, 1, 2'000) + lease(7, 1, 60'000)}},
       {{a, 60'000}}},
      {"LeaseGrows",
       {{a, "4 60 1" + lease(7, 1, 1'000)}},
       {kCharge, {{a, slots, 3, 3, 7}}},
       {{1, kNow, 0, 3, 0, 60'000, 0, 7}},
       {{a, "4 60 3" + lease(7, 3, 60'000)}},
       {{a, 60'000}}},
      {"LeaseGrowsNoFurtherThanMax",
       {{a, "4 60 3" + lease(7, 1, 1'000) + lease(8, 2, 2'000)}},
       {kCharge, {{a, slots, 4, 3, 7}}},
       {{0, kNow, 1, 4, 1, 2'000, 2'000, 7}},
       {{a, "4 60 3" + lease(7, 1, 1'000) + lease(8, 2, 2'000)}}},
      {"CostOfZeroTakesNoSlot", {}, {kCharge, {{a, slots, 1, 0, 7}}}, {{1, kNow, 0, 1, 1, 0, 0, 0}}, {}},
      {"SlotPeek",
       {{a, "4 60 1" + lease(7, 1, 1'000)}},
       {kPeek, {{a, slots, 1, 1}}},
       {{0, kNow, 1, 1, 0, 1'000, 1'000, 0}},
       {{a, "4 60 1" + lease(7, 1, 1'000)}}},
      {"SlotIsFreed",
       {{a, "4 60 2" + lease(7, 1, 1'000) + lease(8, 1, 2'000)}},
       {kAdjust, {{a, slots, 2, -1, 7}}},
       {{1, kNow, 0, 2, 1, 2'000, 0, 0}},
       {{a, "4 60 1" + lease(8, 1, 2'000)}},
       {{a, 2'000}}},
      {"SlotIsFreedOnce",
       {{a, "4 60 1" + lease(8, 1, 2'000)}},
       {kAdjust, {{a, slots, 2, -1, 7}}},
       {{1, kNow, 0, 2, 1, 2'000, 0, 0}},
       {{a, "4 60 1" + lease(8, 1, 2'000)}}},
      {"LastSlotIsFreed",
       {{a, "4 60 1" + lease(8, 1, 2'000)}},
       {kAdjust, {{a, slots, 2, -5, 8}}},
       {{1, kNow, 0, 2, 2, 0, 0, 0}},
       {{a, "4 60 0"}},
       {{a, 1}}},
      {"SlotsAreFreedInPart",
       {{a, "4 60 5" + lease(8, 5, 2'000)}},
       {kAdjust, {{a, slots, 5, -2, 8}}},
       {{1, kNow, 0, 5, 2, 2'000, 0, 8}},
       {{a, "4 60 3" + lease(8, 3, 2'000)}},
       {{a, 2'000}}},
      {"LeasesEndInTheirOrderWhenTheClockJumpedBack",
       {{a, "4 60 1" + lease(8, 1, 70'000)}},
       {kCharge, {{a, slots, 2, 1, 7}}},
       {{1, kNow, 0, 2, 0, 70'000, 0, 7}},
       {{a, "4 60 2" + lease(8, 1, 70'000) + lease(7, 1, 70'000)}},
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

}  // namespace tollgate::inline v0::testing
