#include "decisions/deny_memory.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <ostream>
#include <string>

namespace tollgate::decisions {

inline void PrintTo(DenyMemory::Advice advice, std::ostream* out) {
  switch (advice) {
    case DenyMemory::Advice::kCharge: *out << "charge"; return;
    case DenyMemory::Advice::kPeek: *out << "look first"; return;
    case DenyMemory::Advice::kDeny: *out << "deny"; return;
  }
}

namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;
using Advice = DenyMemory::Advice;

constexpr WindowId kWindow{29'012'345};
constexpr DenyMemory::Time kNow{1h};

class DenyMemoryTest : public ::testing::Test {
 protected:
  [[nodiscard]] Advice advise(std::int64_t tokens, DenyMemory::Time now = kNow, std::string_view user_id = "user",
                              WindowId window = kWindow) const {
    return memory_.advise(user_id, window, tokens, now);
  }

  DenyMemory memory_{1000ms, 64};
};

TEST_F(DenyMemoryTest, ChargesWhileNothingIsRemembered) {
  EXPECT_EQ(advise(1), Advice::kCharge);
  EXPECT_EQ(advise(1'000'000), Advice::kCharge);
}

TEST_F(DenyMemoryTest, PeeksBeforeARequestAtLeastAsLargeAsADeniedOne) {
  memory_.remember_denied("user", kWindow, 50);
  EXPECT_EQ(advise(49), Advice::kCharge);
  EXPECT_EQ(advise(50), Advice::kPeek);
  EXPECT_EQ(advise(51), Advice::kPeek);
}

TEST_F(DenyMemoryTest, NeverDeniesOnADeniedChargeAlone) {
  for (int i = 0; i < 100; ++i) memory_.remember_denied("user", kWindow, 1);
  EXPECT_EQ(advise(1), Advice::kPeek);
  EXPECT_EQ(advise(1'000'000), Advice::kPeek);
}

TEST_F(DenyMemoryTest, KeepsTheSmallestRequestThatWasDenied) {
  memory_.remember_denied("user", kWindow, 50);
  memory_.remember_denied("user", kWindow, 70);
  EXPECT_EQ(advise(50), Advice::kPeek);
  memory_.remember_denied("user", kWindow, 30);
  EXPECT_EQ(advise(30), Advice::kPeek);
  EXPECT_EQ(advise(29), Advice::kCharge);
}

TEST_F(DenyMemoryTest, PeeksHoweverLongTheDenialIsAgo) {
  memory_.remember_denied("user", kWindow, 50);
  EXPECT_EQ(advise(50, kNow + 59s), Advice::kPeek);
}

TEST_F(DenyMemoryTest, DeniesRequestsLargerThanTheTokensLeft) {
  memory_.remember_left("user", kWindow, 20, kNow, 0);
  EXPECT_EQ(advise(20), Advice::kCharge);
  EXPECT_EQ(advise(21), Advice::kDeny);
}

TEST_F(DenyMemoryTest, DeniesEverythingWhenNothingWasLeft) {
  memory_.remember_left("user", kWindow, 0, kNow, 0);
  EXPECT_EQ(advise(1), Advice::kDeny);
}

TEST_F(DenyMemoryTest, CountsItsDurationFromTheRequest) {
  memory_.remember_left("user", kWindow, 20, kNow - 900ms, 0);
  EXPECT_EQ(advise(21, kNow + 100ms - 1ns), Advice::kDeny);
  EXPECT_EQ(advise(21, kNow + 100ms), Advice::kCharge);
}

TEST_F(DenyMemoryTest, PeeksAgainAfterTheDuration) {
  memory_.remember_denied("user", kWindow, 50);
  memory_.remember_left("user", kWindow, 20, kNow, 0);
  EXPECT_EQ(advise(50), Advice::kDeny);
  EXPECT_EQ(advise(20), Advice::kCharge);
  EXPECT_EQ(advise(50, kNow + 1000ms), Advice::kPeek);
  EXPECT_EQ(advise(20, kNow + 1000ms), Advice::kCharge);
}

TEST_F(DenyMemoryTest, UsesTheLastReading) {
  memory_.remember_left("user", kWindow, 20, kNow, 0);
  memory_.remember_left("user", kWindow, 80, kNow, 0);
  EXPECT_EQ(advise(80), Advice::kCharge);
  EXPECT_EQ(advise(81), Advice::kDeny);
}

TEST_F(DenyMemoryTest, StopsPeekingAfterAnAdmissionOfAsMany) {
  memory_.remember_denied("user", kWindow, 50);
  memory_.remember_admitted("user", kWindow, 49);
  EXPECT_EQ(advise(50), Advice::kPeek);
  memory_.remember_admitted("user", kWindow, 50);
  EXPECT_EQ(advise(50), Advice::kCharge);
}

TEST_F(DenyMemoryTest, StoresNoEntryForAnAdmission) {
  memory_.remember_admitted("user", kWindow, 50);
  EXPECT_EQ(advise(50), Advice::kCharge);
}

TEST_F(DenyMemoryTest, DoesNotAffectOtherMinutes) {
  memory_.remember_denied("user", kWindow, 1);
  memory_.remember_left("user", kWindow, 0, kNow, 0);
  EXPECT_EQ(advise(1, kNow, "user", WindowId{kWindow.number + 1}), Advice::kCharge);
  EXPECT_EQ(advise(1, kNow, "user", WindowId{kWindow.number - 1}), Advice::kCharge);
  EXPECT_EQ(advise(1), Advice::kDeny);
}

TEST_F(DenyMemoryTest, ReplacesTheEntryOfTheLastMinute) {
  memory_.remember_denied("user", kWindow, 10);
  memory_.remember_left("user", kWindow, 0, kNow, 0);
  memory_.remember_denied("user", WindowId{kWindow.number + 1}, 50);
  EXPECT_EQ(advise(49, kNow, "user", WindowId{kWindow.number + 1}), Advice::kCharge);
  EXPECT_EQ(advise(50, kNow, "user", WindowId{kWindow.number + 1}), Advice::kPeek);
  EXPECT_EQ(advise(50), Advice::kCharge);
}

TEST_F(DenyMemoryTest, ErasesAUser) {
  memory_.remember_denied("user", kWindow, 1);
  memory_.remember_left("user", kWindow, 0, kNow, 0);
  memory_.forget("user");
  EXPECT_EQ(advise(1), Advice::kCharge);
  memory_.forget("nobody");
}

TEST_F(DenyMemoryTest, ForgetsAfterARefundWhatWasLeftButNotWhatWasDenied) {
  memory_.remember_denied("user", kWindow, 50);
  memory_.remember_left("user", kWindow, 0, kNow, 0);
  memory_.forget_left("user");
  EXPECT_EQ(advise(50), Advice::kPeek);  // a charge that large would inflate the counter again
  EXPECT_EQ(advise(49), Advice::kCharge);
}

TEST_F(DenyMemoryTest, IgnoresWhatWasLeftBeforeARefund) {
  const std::uint64_t before = memory_.version("user");
  memory_.forget_left("user");
  memory_.remember_left("user", kWindow, 0, kNow, before);
  EXPECT_EQ(advise(1), Advice::kCharge);
  memory_.remember_left("user", kWindow, 0, kNow, memory_.version("user"));
  EXPECT_EQ(advise(1), Advice::kDeny);
}

TEST(CrowdedDenyMemory, ReplacesEntriesOfOtherUsersAndNeverMixesThemUp) {
  DenyMemory memory{1000ms, 1};
  memory.remember_left("a", kWindow, 0, kNow, 0);
  EXPECT_EQ(memory.advise("b", kWindow, 1, kNow), Advice::kCharge);
  memory.remember_denied("b", kWindow, 50);
  EXPECT_EQ(memory.advise("a", kWindow, 1, kNow), Advice::kCharge);
  EXPECT_EQ(memory.advise("b", kWindow, 49, kNow), Advice::kCharge);
  EXPECT_EQ(memory.advise("b", kWindow, 50, kNow), Advice::kPeek);
}

TEST(CrowdedDenyMemory, ErasesNothingForAUserWithoutAnEntry) {
  DenyMemory memory{1000ms, 1};
  memory.remember_left("a", kWindow, 0, kNow, 0);
  memory.forget("b");
  memory.remember_admitted("b", kWindow, 1);
  EXPECT_EQ(memory.advise("a", kWindow, 1, kNow), Advice::kDeny);
}

TEST(CrowdedDenyMemory, RemembersNoMoreUsersThanItsCapacityWhateverIdsCome) {
  constexpr std::int64_t kCapacity = 256;
  DenyMemory memory{1000ms, kCapacity};
  const auto id = [](int i) { return std::to_string(i) + std::string(500, '\xff') + ":*\0"s; };
  for (int i = 0; i < 100'000; ++i) {
    memory.remember_denied(id(i), kWindow, 1);
    memory.remember_left(id(i), kWindow, 0, kNow, 0);
    ASSERT_EQ(memory.advise(id(i), kWindow, 1, kNow), Advice::kDeny);
  }
  std::int64_t remembered = 0;
  for (int i = 0; i < 100'000; ++i) {
    if (memory.advise(id(i), kWindow, 1, kNow) != Advice::kCharge) ++remembered;
  }
  EXPECT_LE(remembered, kCapacity);
  EXPECT_GE(remembered, kCapacity / 2);
}

TEST(CrowdedDenyMemory, DistinguishesIdsByEveryByte) {
  DenyMemory memory{1000ms, 1};
  memory.remember_left("a\0b"s, kWindow, 0, kNow, 0);
  EXPECT_EQ(memory.advise("a\0b"s, kWindow, 1, kNow), Advice::kDeny);
  for (const std::string& other : {"a"s, "a\0"s, "a\0c"s, "a\0b\0"s, "A\0b"s}) {
    EXPECT_EQ(memory.advise(other, kWindow, 1, kNow), Advice::kCharge);
  }
}

}  // namespace
}  // namespace tollgate::decisions
