// What a reservation holds, and how it is settled: by which adjustments, of which windows.

#include "decisions/held_charges.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "unit/values/error_text.hpp"

namespace tollgate {
namespace {

using namespace std::chrono_literals;
using decisions::BudgetCharges;
using decisions::BudgetItem;
using decisions::HeldCharges;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::vector<Limit> kLimits{{.name = "requests", .max = 100},
                                 {.name = "tokens", .max = 40'000, .window = Window::sliding(1min)},
                                 {.name = "running", .max = 8, .window = Window::concurrent(30s)}};

class Held : public ::testing::Test {
 protected:
  using Costs = std::vector<std::int64_t>;

  /// Charges more, to these windows, one for each item.
  void charge(const Costs& more, const std::vector<std::int64_t>& windows, bool are_known = true) {
    BudgetCharges charges = held_.charges_of(kLimits, more);
    for (std::size_t i = 0; i < windows.size(); ++i) charges.items()[i].state.window = windows[i];
    held_.make_room();
    held_.hold(more, charges, are_known);
  }

  /// Each adjustment as "<limit>/<subject> <cost>@<window>; …".
  [[nodiscard]] std::vector<std::string> settlement(const Costs& actual) const {
    std::vector<std::string> texts;
    for (const BudgetCharges& adjustment : held_.settlement(kLimits, actual, once_)) {
      std::string& text = texts.emplace_back();
      for (std::size_t i = 0; i < adjustment.items().size(); ++i) {
        const BudgetItem& item = adjustment.items()[i];
        text += kLimits[item.limit].name + "/" + std::string{item.subject} + " " + std::to_string(item.cost) + "@" +
                std::to_string(item.window) + "; ";
      }
    }
    return texts;
  }

  static HeldCharges of(const std::vector<Charge>& charges) { return HeldCharges::of(BudgetCharges{kLimits, charges}); }

  bool once_ = false;
  HeldCharges held_ = of({{"requests", "key"}, {"tokens", "team", 300}});
};

TEST_F(Held, GivesBackWhatWasNotUsedToTheWindowsThatWereCharged) {
  charge({1, 300}, {29, 31});
  EXPECT_EQ(held_.total(), 301);
  EXPECT_THAT(settlement({1, 120}), ElementsAre("tokens/team -180@31; "));
  EXPECT_THAT(settlement({0, 0}), ElementsAre("requests/key -1@29; tokens/team -300@31; "));
  EXPECT_THAT(settlement({1, 300}), IsEmpty());
}

TEST_F(Held, ChargesAnExcessToTheCurrentWindow) {
  charge({1, 300}, {29, 31});
  EXPECT_THAT(settlement({2, 100}), ElementsAre("requests/key 1@-1; tokens/team -200@31; "));
}

TEST_F(Held, ChargesAllOfARefusedReservation) {
  EXPECT_EQ(held_.total(), 0);
  EXPECT_THAT(settlement({1, 100}), ElementsAre("requests/key 1@-1; tokens/team 100@-1; "));
}

TEST_F(Held, GivesBackToTheNewestWindowFirst) {
  charge({1, 300}, {29, 31});
  charge({0, 50}, {29, 31});
  charge({0, 40}, {30, 33});
  EXPECT_EQ(held_.costs, (Costs{1, 390}));
  EXPECT_THAT(settlement({1, 380}), ElementsAre("tokens/team -10@33; "));
  EXPECT_THAT(settlement({1, 300}), ElementsAre("tokens/team -40@33; ", "tokens/team -50@31; "));
}

TEST_F(Held, RecordsAsManyAdjustmentsWhateverTheCostsWhereItHasSeveralHolders) {
  charge({1, 300}, {29, 31});
  charge({0, 40}, {29, 33});
  once_ = true;
  const auto all = settlement({1, 340});
  EXPECT_THAT(all, ElementsAre("requests/key 0@29; tokens/team 0@33; ", "requests/key 0@-1; tokens/team 0@31; "));
  EXPECT_EQ(settlement({0, 0}).size(), all.size());
  EXPECT_EQ(settlement({9, 900}).size(), all.size());
}

TEST_F(Held, KeepsABoundedNumberOfWindowsAndGivesBackNoMoreThanToThem) {
  for (int window = 0; window < 40; ++window) charge({0, 10}, {0, window});
  ASSERT_EQ(held_.items[1].parts.size(), HeldCharges::kMostParts);
  EXPECT_EQ(held_.items[1].parts.front().window, 0);
  EXPECT_EQ(held_.items[1].parts.front().amount, 250);
  EXPECT_EQ(held_.total(), 400);
}

TEST_F(Held, GivesNothingBackWhereTheWindowIsNotKnown) {
  charge({1, 300}, {0, 0}, false);
  EXPECT_EQ(held_.total(), 301);
  EXPECT_THAT(settlement({0, 0}), IsEmpty());
  EXPECT_THAT(settlement({1, 310}), ElementsAre("tokens/team 10@-1; "));
}

TEST_F(Held, ChargesTheSumOfCostsOfTheSameLimitAndSubject) {
  held_ = of({{"tokens", "team", 10}, {"requests", "key"}, {"tokens", "team", 20}});
  charge({10, 1, 20}, {31, 29});
  EXPECT_THAT(settlement({5, 1, 5}), ElementsAre("tokens/team -20@31; "));
  EXPECT_EQ(held_.costs, (Costs{10, 1, 20}));
}

TEST_F(Held, FreesSlotsWhateverWasUsed) {
  BudgetCharges charges{kLimits, std::vector<Charge>{{"running", "model", 2}}};
  charges.items()[0].window = 77;
  held_ = HeldCharges::of(charges);
  charge({2}, {77});
  EXPECT_EQ(held_.leases(kLimits).items()[0].cost, 2);
  EXPECT_EQ(held_.leases(kLimits).items()[0].window, 77);
  const BudgetCharges more = held_.charges_of(kLimits, Costs{1});
  EXPECT_EQ(more.items()[0].cost, 3) << "a lease is replaced as a whole";
  charge({1}, {77});
  EXPECT_THAT(settlement({3}), ElementsAre("running/model -3@77; "));
  EXPECT_THAT(settlement({0}), ElementsAre("running/model -3@77; "));
}

TEST_F(Held, HasNoLeasesWithoutSlots) {
  charge({1, 300}, {29, 31});
  EXPECT_EQ(held_.leases(kLimits).size(), 0U);
}

TEST_F(Held, RefusesCostsThatDoNotFitItsCharges) {
  const auto refused = [this](const Costs& costs) {
    return rejection([&] { decisions::check_costs("costs", held_, costs); });
  };
  EXPECT_THAT(refused({1}), HasSubstr("costs has 1 entries; it must have 2, one for each charge"));
  EXPECT_THAT(refused({1, -1}), HasSubstr("costs[1] is -1; it must be 0 … 9007199254740991"));
  held_ = of({{"requests", "key"}, {"requests", "key"}});
  EXPECT_THAT(refused({kMaxTokens, 1}), HasSubstr("the sum of costs of one limit and subject is 9007199254740992"));
}

}  // namespace
}  // namespace tollgate
