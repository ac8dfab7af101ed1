// Where a caller sleeps until its reply is there: real threads, real time.

#include "redis/wait_word.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

namespace tollgate {
namespace {

using namespace std::chrono_literals;

TEST(WaitWord, RemembersASignalThatCameFirst) {
  WaitWord word;
  word.signal();
  EXPECT_TRUE(word.wait_until(std::chrono::steady_clock::now()));
  word.reset();
  EXPECT_FALSE(word.wait_until(std::chrono::steady_clock::now()));
}

TEST(WaitWord, GivesUpAtItsDeadline) {
  WaitWord word;
  const auto deadline = std::chrono::steady_clock::now() + 5ms;
  EXPECT_FALSE(word.wait_until(deadline));
  EXPECT_GE(std::chrono::steady_clock::now(), deadline);
}

TEST(WaitWord, LosesNoSignalBetweenTwoThreads) {
  constexpr int kRounds = 2000;
  WaitWord ping;
  WaitWord pong;
  const auto deadline = std::chrono::steady_clock::now() + 30s;
  std::thread other([&] {
    for (int i = 0; i < kRounds && ping.wait_until(deadline); ++i) {
      ping.reset();
      pong.signal();
    }
  });
  int answered = 0;
  for (; answered < kRounds; ++answered) {
    ping.signal();
    if (!pong.wait_until(deadline)) break;
    pong.reset();
  }
  other.join();
  EXPECT_EQ(answered, kRounds);
}

}  // namespace
}  // namespace tollgate
