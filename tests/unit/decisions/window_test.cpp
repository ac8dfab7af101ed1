#include "decisions/window.hpp"

#include <gtest/gtest.h>

namespace tollgate::decisions {
namespace {

using namespace std::chrono_literals;
using std::chrono::system_clock;

constexpr std::int64_t kMinute = 29'012'345;

system_clock::time_point at(system_clock::duration since_1970) { return system_clock::time_point{since_1970}; }

TEST(UnixMinute, IsTheFloorOfSecondsOverSixty) {
  EXPECT_EQ(unix_minute(at(0s)), 0);
  EXPECT_EQ(unix_minute(at(60s - 1ns)), 0);
  EXPECT_EQ(unix_minute(at(60s)), 1);
  EXPECT_EQ(unix_minute(at(1'740'740'700s + 59'999ms)), kMinute);
}

TEST(UnixMinute, IsAFloorBefore1970Too) {
  EXPECT_EQ(unix_minute(at(-1ns)), -1);
  EXPECT_EQ(unix_minute(at(-60s)), -1);
  EXPECT_EQ(unix_minute(at(-60s - 1ns)), -2);
}

TEST(TimeToReset, IsAWholeMinuteAtItsStart) {
  EXPECT_EQ(time_to_reset(at(0s)), 60'000ms);
  EXPECT_EQ(time_to_reset(at(-60s)), 60'000ms);
}

TEST(TimeToReset, IsRoundedUpToMilliseconds) {
  EXPECT_EQ(time_to_reset(at(1ns)), 60'000ms);
  EXPECT_EQ(time_to_reset(at(1ms)), 59'999ms);
  EXPECT_EQ(time_to_reset(at(1ms + 1ns)), 59'999ms);
  EXPECT_EQ(time_to_reset(at(59s)), 1'000ms);
}

TEST(WindowAt, IsTheUnixMinuteAndOrderedInTime) {
  EXPECT_EQ(window_at(at(1'740'740'700s)), WindowId{kMinute});
  EXPECT_LT(window_at(at(-1ns)), window_at(at(0s)));
}

TEST(TimeToReset, IsNeverZero) {
  EXPECT_EQ(time_to_reset(at(60s - 1ns)), 1ms);
  EXPECT_EQ(time_to_reset(at(-1ns)), 1ms);
}

}  // namespace
}  // namespace tollgate::decisions
