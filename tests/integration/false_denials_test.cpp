// B: innocents denied because somebody's large requests are charged and undone all the time.

#include "integration/false_denials.hpp"

#include <gtest/gtest.h>

namespace tollgate::tests {
namespace {

TEST(FalseDenials, B_AreRareWhenDenialsAreRemembered) {
  EXPECT_LE(count_false_denials(Loopers::kRemembering).denied, FalseDenials::kRequests / 100);
}

TEST(FalseDenials, B_DoNotHappenWithAtomicAdmission) { EXPECT_EQ(count_false_denials(Loopers::kAtomic).denied, 0); }

TEST(FalseDenials, B_AreDetectedByThisExperimentWithoutDenyMemory) {
  EXPECT_GT(count_false_denials(Loopers::kForgetting).denied, FalseDenials::kRequests / 100);
}

}  // namespace
}  // namespace tollgate::tests
