// The rule of a gateway, asked at once: per key 100 requests and 40'000 tokens a minute, per team 2 million
// tokens a day, per model 1 million tokens a minute for everyone, at most 8 answers at once.
// several_limits [url]

#include <chrono>
#include <cstdint>
#include <exception>
#include <iostream>
#include <string_view>
#include <tollgate/budget_limiter.hpp>

namespace {

using namespace std::chrono_literals;
using tollgate::Window;

void answer(tollgate::BudgetLimiter& limiter, std::string_view key, std::int64_t estimate, std::int64_t used) {
  tollgate::BudgetReservation reservation = limiter.reserve({{"key-requests", key},
                                                             {"key-tokens", key, estimate},
                                                             {"team-tokens", "team_7", estimate},
                                                             {"model-tokens", "gpt", estimate},
                                                             {"answers", "gpt"}});
  const tollgate::BudgetDecision& decision = reservation.decision();
  if (!decision) {  // HTTP 429
    std::cout << key << ": refused by " << decision.states[decision.refused_by.value_or(0)].limit
              << (decision.retry_after ? ", later it fits\n" : ", it never fits\n");
    return;
  }
  reservation.settle({1, used, used, used, 0});  // in the order of the charges; the slot is free again
  std::cout << key << ": " << used << " tokens\n";
}

}  // namespace

int main(int argc, char** argv) {
  try {
    tollgate::BudgetLimiter limiter{
        argc > 1 ? argv[1] : "memory://",
        {.limits = {{.name = "key-requests", .max = 100, .window = Window::sliding(1min)},
                    {.name = "key-tokens", .max = 40'000, .window = Window::token_bucket(1min)},
                    {.name = "team-tokens", .max = 2'000'000, .window = Window::utc_day()},
                    {.name = "model-tokens", .max = 1'000'000, .window = Window::token_bucket(1min)},
                    {.name = "answers", .max = 8, .window = Window::concurrent(30s)}}}};
    answer(limiter, "key_1", 30'000, 20'000);
    answer(limiter, "key_1", 50'000, 0);
    answer(limiter, "key_1", 39'999, 0);
    answer(limiter, "key_2", 30'000, 12'000);
    std::cout << limiter.peek({{"team-tokens", "team_7", 0}}).states[0].remaining.value_or(0) << " left for the team\n";
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
