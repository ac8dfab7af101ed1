#include "tollgate/window.hpp"

#include <gtest/gtest.h>

namespace tollgate {
namespace {

using std::chrono::hours;
using std::chrono::seconds;

static_assert(Window::fixed(seconds{60}).is_valid(), "windows are constants where a configuration is one");

TEST(Window, HasTheKindAndTheLengthItWasMadeOf) {
  EXPECT_EQ(Window::fixed(seconds{60}).kind(), Window::Kind::kFixed);
  EXPECT_EQ(Window::fixed(seconds{60}).length(), seconds{60});
  EXPECT_EQ(Window::sliding(seconds{7}).kind(), Window::Kind::kSliding);
  EXPECT_EQ(Window::sliding(seconds{7}).length(), seconds{7});
  EXPECT_EQ(Window::token_bucket(hours{1}).kind(), Window::Kind::kTokenBucket);
  EXPECT_EQ(Window::token_bucket(hours{1}).length(), seconds{3600});
  EXPECT_EQ(Window::concurrent(seconds{30}).kind(), Window::Kind::kConcurrent);
  EXPECT_EQ(Window::concurrent(seconds{30}).length(), seconds{30});
  EXPECT_EQ(Window::utc_month().kind(), Window::Kind::kUtcMonth);
  EXPECT_EQ(Window::utc_month().length(), seconds{0});
}

TEST(Window, OfAUtcDayIsAFixedOneOf24Hours) {
  EXPECT_EQ(Window::utc_day(), Window::fixed(hours{24}));
  EXPECT_NE(Window::utc_day(), Window::sliding(hours{24}));
}

TEST(Window, IsValidFrom1SecondTo366Days) {
  for (auto* make : {Window::fixed, Window::sliding, Window::token_bucket, Window::concurrent}) {
    EXPECT_FALSE(make(seconds{-1}).is_valid());
    EXPECT_FALSE(make(seconds{0}).is_valid());
    EXPECT_TRUE(make(seconds{1}).is_valid());
    EXPECT_TRUE(make(hours{24 * 366}).is_valid());
    EXPECT_FALSE(make(hours{24 * 366} + seconds{1}).is_valid());
  }
  EXPECT_TRUE(Window::utc_month().is_valid());
}

}  // namespace
}  // namespace tollgate
