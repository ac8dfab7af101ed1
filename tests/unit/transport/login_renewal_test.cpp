// When credentials are asked for again.

#include "transport/login_renewal.hpp"

#include <gtest/gtest.h>

namespace tollgate {
namespace {

using namespace std::chrono_literals;
using Time = LoginRenewal::Time;

constexpr Time kNow{1h};

TEST(LoginRenewal, CredentialsWithoutEndAreNeverDue) {
  EXPECT_EQ(LoginRenewal{}.due(), Time::max());
  LoginRenewal renewal{kNow, std::nullopt};
  EXPECT_EQ(renewal.due(), Time::max());
  EXPECT_FALSE(renewal.begin(kNow + 1'000h));
}

TEST(LoginRenewal, IsDueOnceAfterThreeQuartersOfTheValidity) {
  LoginRenewal renewal{kNow, 2s};
  EXPECT_FALSE(renewal.begin(kNow + 1499ms));
  EXPECT_TRUE(renewal.begin(kNow + 1500ms));
  EXPECT_TRUE(renewal.is_asking());
  EXPECT_FALSE(renewal.begin(kNow + 2s));
  renewal.renewed(kNow + 1500ms, 900s);
  EXPECT_FALSE(renewal.is_asking());
  EXPECT_EQ(renewal.due(), kNow + 1500ms + 675s);
}

TEST(LoginRenewal, AFailureIsNewsOnceUntilSomeAreAccepted) {
  LoginRenewal renewal{kNow, 80s};
  EXPECT_TRUE(renewal.failed(kNow));
  EXPECT_EQ(renewal.due(), kNow + 10s);
  EXPECT_FALSE(renewal.failed(kNow));
  renewal.renewed(kNow, 80s);
  EXPECT_FALSE(renewal.failed(kNow));
  renewal.accepted();
  EXPECT_TRUE(renewal.failed(kNow));
}

TEST(LoginRenewal, PausesAreBounded) {
  LoginRenewal brief{kNow, 0s};
  EXPECT_EQ(brief.due(), kNow + 750ms);
  brief.failed(kNow);
  EXPECT_EQ(brief.due(), kNow + 125ms);
  LoginRenewal long_lived{kNow, std::chrono::seconds::max()};
  EXPECT_GT(long_lived.due(), kNow + 1'000h);
  long_lived.failed(kNow);
  EXPECT_EQ(long_lived.due(), kNow + 60s);
}

}  // namespace
}  // namespace tollgate
