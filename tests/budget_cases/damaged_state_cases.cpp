#include <chrono>
#include <string>
#include <vector>

#include "budget_cases.hpp"

namespace tollgate::inline v0::testing {

std::vector<BudgetCase> damaged_state_cases() {
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
  add(Window::concurrent(seconds{60}),
      {"4 60", "4 60 ", "4 60 x", "4 60 1 7", "4 60 1 7:1", "4 60 1 7:1:", "4 60 1 7:1:1767225675000 8",
       "4 60 1  7:1:1767225675000", "4 60 1 7:1:1767225675000:", "4 60 1 7:x:1767225675000",
       "4 60 1 8:1:1767225675000 7:x:1767225675000"});
  return cases;
}

}  // namespace tollgate::inline v0::testing
