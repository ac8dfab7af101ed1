#include "faults/fault_scene.hpp"

#include <gmock/gmock.h>

#include <iomanip>
#include <iostream>
#include <sstream>

namespace tollgate::tests {

bool soon(const std::function<bool()>& holds) {
  for (const auto end = std::chrono::steady_clock::now() + 10s; std::chrono::steady_clock::now() < end;) {
    if (holds()) return true;
    std::this_thread::sleep_for(2ms);
  }
  return holds();
}

void Scene::audit() {
  EXPECT_TRUE(load_.finish()) << "a process of the load failed";
  EXPECT_EQ(account().undrained, 0);
  EXPECT_EQ(account().in_time, account().calls);
  EXPECT_EQ(account().failed[0], 0) << "calls failed for a reason that is not Redis's";
  EXPECT_GE(load_.failed(), fault_.calls_fail ? 1 : 0) << "the fault does nothing";

  // A budget more for each life of the counter that Redis lost, and what was being charged and undone at that moment.
  const std::int64_t lost = fault_.lives_lost;
  const std::int64_t in_flight = std::int64_t{2} * kLoadProcesses * kThreadsPerProcess * kMostTokens;
  const std::int64_t bound = kBudget + lost * (kBudget + in_flight);
  std::int64_t users = 0;
  std::int64_t held = 0;
  std::int64_t in_doubt = 0;
  std::int64_t unreported = 0;
  std::int64_t over_admitted = 0;
  std::int64_t counted = 0;
  for (int user = 0; user < Account::kUsers; ++user) {
    const Budget& budget = account().budgets[static_cast<std::size_t>(user)];
    if (budget.calls == 0) continue;
    const std::int64_t counter = audited_->command({"GET", FaultLoad::key_of(user)}).to_integer().value_or(0);
    EXPECT_LE(budget.peak, bound) << Caller::name_of(user);
    const std::int64_t answered = lost == 0 ? budget.held.load() : bound;
    EXPECT_LE(counter, answered + budget.in_doubt + budget.unreported + account().undelivered) << Caller::name_of(user);
    EXPECT_GE(counter, lost == 0 ? answered : 0) << Caller::name_of(user);
    ++users;
    held += budget.held;
    in_doubt += budget.in_doubt;
    unreported += budget.unreported;
    over_admitted += std::max<std::int64_t>(budget.peak - kBudget, 0);
    counted += counter;
  }
  EXPECT_TRUE(lost > 0 || counted <= held + in_doubt + unreported + account().undelivered) << counted;
  const auto immortal = audited_->keys_without_ttl();
  EXPECT_THAT(immortal, ::testing::IsEmpty());
  print(held, users, over_admitted, in_doubt, immortal.size());
}

void Scene::print(std::int64_t held, std::int64_t users, std::int64_t over_admitted, std::int64_t in_doubt,
                  std::size_t immortal) {
  std::ostringstream row;
  row << "| " << fault_.what << " | " << account().calls << " | " << std::fixed << std::setprecision(2)
      << 100.0 * static_cast<double>(account().in_time) / static_cast<double>(account().calls) << " % | " << held
      << " / " << users * kBudget << " | " << over_admitted;
  if (fault_.lives_lost > 0) row << " (Redis lost its data " << fault_.lives_lost << " ×)";
  row << " | " << in_doubt << " | " << immortal << " |\n";
  std::cout << row.str() << std::flush;
  std::ostringstream failures;
  for (std::size_t i = 0; i < account().failed.size(); ++i) {
    if (account().failed[i] == 0) continue;
    failures << "  " << account().failed[i] << " × " << make_error_code(static_cast<Errc>(i)).message() << '\n';
  }
  std::cout << failures.str() << std::flush;
}

}  // namespace tollgate::tests
