// Where one thread sleeps until another wakes it.

#include "transport/wait_word.hpp"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace tollgate {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

TEST(WaitWord, ASignalBeforeTheWaitIsNotLost) {
  WaitWord word;
  word.signal();
  EXPECT_TRUE(word.wait_until(Clock::now() - 1s));
}

TEST(WaitWord, AWaitWithoutASignalEndsAtItsDeadline) {
  WaitWord word;
  EXPECT_FALSE(word.wait_until(Clock::now() - 1s));
  const auto deadline = Clock::now() + 2ms;
  EXPECT_FALSE(word.wait_until(deadline));
  EXPECT_GE(Clock::now(), deadline);
  word.signal();  // it may be waited for again
  EXPECT_TRUE(word.wait_until(deadline));
}

TEST(WaitWord, SeveralSignalsCountAsOneUntilCleared) {
  WaitWord word;
  word.signal();
  word.signal();
  EXPECT_TRUE(word.wait_until(Clock::now() - 1s));
  EXPECT_TRUE(word.wait_until(Clock::now() - 1s));
  word.reset();
  EXPECT_FALSE(word.wait_until(Clock::now() - 1s));
}

TEST(WaitWord, NoSignalIsLostWhenTwoThreadsTakeTurns) {
  constexpr int kTurns = 20'000;
  WaitWord ping;
  WaitWord pong;
  const auto deadline = Clock::now() + 30s;
  int turns = 0;  // handed over with the signals
  std::thread other([&] {
    for (int i = 0; i < kTurns; ++i) {
      if (!ping.wait_until(deadline)) return;
      ping.reset();
      ++turns;
      pong.signal();
    }
  });
  for (int i = 0; i < kTurns; ++i) {
    ++turns;
    ping.signal();
    ASSERT_TRUE(pong.wait_until(deadline));
    pong.reset();
  }
  other.join();
  EXPECT_EQ(turns, 2 * kTurns);
}

TEST(WaitWord, OneOfManySignalsIsEnough) {
  for (int round = 0; round < 50; ++round) {
    WaitWord word;
    std::vector<std::thread> signallers;
    for (int i = 0; i < 4; ++i) signallers.emplace_back([&] { word.signal(); });
    EXPECT_TRUE(word.wait_until(Clock::now() + 30s));
    for (std::thread& signaller : signallers) signaller.join();
  }
}

}  // namespace
}  // namespace tollgate
