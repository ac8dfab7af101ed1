#include "transport/resolver.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <new>
#include <system_error>
#include <vector>

#include "values/blocked_signals.hpp"

namespace tollgate {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr auto kNow =
    std::chrono::steady_clock::time_point::min();  // a deadline that has passed: nothing is waited for

/// A resolver whose threads are run by hand.
class ResolverTest : public ::testing::Test {
 protected:
  HostAddresses look_up(const std::string& host, std::uint16_t port) {
    looked_up_.push_back(host + ':' + std::to_string(port));
    if (is_out_of_memory_) throw std::bad_alloc{};
    return answer_;
  }

  void launch(std::function<void()> task) {
    ++launches_;
    if (has_no_threads_) throw std::system_error{std::make_error_code(std::errc::resource_unavailable_try_again)};
    if (has_no_memory_for_threads_) throw std::bad_alloc{};
    threads_.push_back(std::move(task));
  }

  void run_threads() {
    for (const auto& thread : std::exchange(threads_, {})) thread();
  }

  HostAddresses answer_{{SocketAddress{}, SocketAddress{}}};
  bool is_out_of_memory_ = false;
  bool has_no_threads_ = false;
  bool has_no_memory_for_threads_ = false;
  int launches_ = 0;
  std::vector<std::function<void()>> threads_;
  std::vector<std::string> looked_up_;
  Resolver resolver_{[this](const std::string& host, std::uint16_t port) { return look_up(host, port); },
                     [this](std::function<void()> task) { launch(std::move(task)); }};
};

TEST_F(ResolverTest, LooksUpANameOnceForAllConcurrentCallers) {
  const auto first = resolver_.start("cache", 6379);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(resolver_.start("cache", 6379), first);
  EXPECT_EQ(launches_, 1);
  EXPECT_FALSE(first->wait_until(kNow));

  run_threads();
  EXPECT_THAT(looked_up_, ::testing::ElementsAre("cache:6379"));
  EXPECT_TRUE(first->wait_until(kNow));
  EXPECT_THAT(first->addresses(), SizeIs(2));
  EXPECT_EQ(first->error(), "");
}

TEST_F(ResolverTest, LooksUpEachHostAndPortSeparately) {
  const auto first = resolver_.start("cache", 6379);
  const auto other_port = resolver_.start("cache", 6380);
  const auto other_host = resolver_.start("other", 6379);
  EXPECT_THAT(threads_, SizeIs(3));

  threads_[1]();
  EXPECT_FALSE(first->wait_until(kNow));
  EXPECT_TRUE(other_port->wait_until(kNow));
  EXPECT_FALSE(other_host->wait_until(kNow));
  EXPECT_THAT(looked_up_, ::testing::ElementsAre("cache:6380"));
}

TEST_F(ResolverTest, LooksUpAgainOnceTheLookUpHasEnded) {
  const auto first = resolver_.start("cache", 6379);
  run_threads();
  answer_ = {{}, "no such host"};
  const auto second = resolver_.start("cache", 6379);
  EXPECT_NE(second, first);
  EXPECT_FALSE(second->wait_until(kNow));

  run_threads();
  EXPECT_TRUE(second->wait_until(kNow));
  EXPECT_EQ(second->error(), "no such host");
  EXPECT_THAT(first->addresses(), SizeIs(2)) << "an earlier result changed";
}

TEST_F(ResolverTest, ReportsThatNoThreadCanBeStarted) {
  has_no_threads_ = true;
  const auto refused = resolver_.start("cache", 6379);
  EXPECT_TRUE(refused->wait_until(kNow));
  EXPECT_THAT(refused->error(), HasSubstr("no thread to look it up: "));

  has_no_threads_ = false;
  const auto second = resolver_.start("cache", 6379);
  run_threads();
  EXPECT_TRUE(second->wait_until(kNow));
  EXPECT_THAT(second->addresses(), SizeIs(2));
}

TEST_F(ResolverTest, StartsAfterMemoryRanOut) {
  has_no_memory_for_threads_ = true;
  EXPECT_THROW(static_cast<void>(resolver_.start("cache", 6379)), std::bad_alloc);

  has_no_memory_for_threads_ = false;
  const auto second = resolver_.start("cache", 6379);
  run_threads();
  EXPECT_TRUE(second->wait_until(kNow));
  EXPECT_THAT(second->addresses(), SizeIs(2));
}

TEST_F(ResolverTest, EndsTheWaitWhenTheLookUpRunsOutOfMemory) {
  is_out_of_memory_ = true;
  const auto resolution = resolver_.start("cache", 6379);
  run_threads();
  EXPECT_TRUE(resolution->wait_until(kNow));
  EXPECT_EQ(resolution->error(), "out of memory");
  EXPECT_THAT(resolution->addresses(), SizeIs(0));
}

TEST(Resolution, ResolvesANumericAddressAtOnce) {
  for (const char* host : {"127.0.0.1", "::1", "fe80::1%1"}) {
    const auto resolution = Resolution::start(host, 6379);
    EXPECT_TRUE(resolution->wait_until(kNow)) << host;
    EXPECT_THAT(resolution->addresses(), SizeIs(1)) << host;
    EXPECT_EQ(resolution->error(), "") << host;
  }
}

TEST(BlockedSignals, AreRestoredHoweverTheScopeIsLeft) {
  sigset_t before;
  sigset_t during;
  sigset_t after;
  pthread_sigmask(SIG_BLOCK, nullptr, &before);
  try {
    const BlockedSignals blocked;
    pthread_sigmask(SIG_BLOCK, nullptr, &during);
    throw std::bad_alloc{};
  } catch (const std::bad_alloc&) {
    pthread_sigmask(SIG_BLOCK, nullptr, &after);
  }
  for (const int signal : {SIGTERM, SIGUSR1, SIGPIPE}) {
    EXPECT_EQ(sigismember(&during, signal), 1);
    EXPECT_EQ(sigismember(&after, signal), sigismember(&before, signal));
  }
}

}  // namespace
}  // namespace tollgate
