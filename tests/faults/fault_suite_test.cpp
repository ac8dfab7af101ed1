// Every fault against a real server, under load from two processes of four threads, and an account at its end: each
// call answered in time, no budget exceeded, no counter without expiry. Prints a row of a table per fault;
// scripts/faults prints the table.

#include <gtest/gtest.h>

#include <vector>

#include "faults/fault_scene.hpp"

namespace tollgate::tests {
namespace {

std::vector<Fault> all_faults() {
  std::vector<Fault> all = server_faults();
  all.insert(all.end(), network_faults().begin(), network_faults().end());
  return all;
}

class FaultSuite : public ::testing::TestWithParam<Fault> {};

TEST_P(FaultSuite, EveryCallIsAnsweredInTimeAndNoBudgetIsExceeded) {
  Scene scene{GetParam()};
  GetParam().run(scene);
  scene.audit();
}

INSTANTIATE_TEST_SUITE_P(Faults, FaultSuite, ::testing::ValuesIn(all_faults()),
                         [](const ::testing::TestParamInfo<Fault>& fault) { return fault.param.name; });

}  // namespace
}  // namespace tollgate::tests
