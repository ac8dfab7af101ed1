#include "values/event_queue.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tollgate/stats.hpp"
#include "values/counters.hpp"

namespace tollgate {
namespace {

using std::chrono::microseconds;
using std::chrono::nanoseconds;

struct Recorder final : Observer {
  void on_event(const Event& event) noexcept override {
    seen.push_back(event.subject);
    if (event.subject == "first" && queue != nullptr) {
      queue->add({.kind = EventKind::kConnected, .subject = "from within"});
      queue->deliver();
      seen.emplace_back("end of first");
    }
  }
  std::vector<std::string> seen;
  detail::EventQueue* queue = nullptr;
};

TEST(EventQueue, DeliversInOrderAndOnce) {
  const auto recorder = std::make_shared<Recorder>();
  detail::EventQueue queue{recorder};
  queue.add({.kind = EventKind::kConnected, .subject = "a"});
  queue.add({.kind = EventKind::kDisconnected, .subject = "b"});
  EXPECT_TRUE(recorder->seen.empty());
  queue.deliver();
  queue.deliver();
  EXPECT_EQ(recorder->seen, (std::vector<std::string>{"a", "b"}));
}

TEST(EventQueue, EventsDuringADeliveryAreDeliveredAfterIt) {
  const auto recorder = std::make_shared<Recorder>();
  detail::EventQueue queue{recorder};
  recorder->queue = &queue;
  queue.add({.kind = EventKind::kConnected, .subject = "first"});
  queue.add({.kind = EventKind::kConnected, .subject = "second"});
  queue.deliver();
  EXPECT_EQ(recorder->seen, (std::vector<std::string>{"first", "end of first", "second", "from within"}));
}

TEST(EventQueue, HoldsNoMoreThanItsBoundForAnObserverThatBlocks) {
  const auto recorder = std::make_shared<Recorder>();
  detail::EventQueue queue{recorder};
  for (std::size_t i = 0; i < 2 * detail::EventQueue::kMostWaiting; ++i) queue.add({.kind = EventKind::kConnected});
  queue.deliver();
  EXPECT_EQ(recorder->seen.size(), detail::EventQueue::kMostWaiting);
  queue.add({.kind = EventKind::kConnected});
  queue.deliver();
  EXPECT_EQ(recorder->seen.size(), detail::EventQueue::kMostWaiting + 1);
}

TEST(EventQueue, WithoutAnObserverNothingIsKept) {
  detail::EventQueue queue{nullptr};
  queue.add({.kind = EventKind::kConnected});
  queue.deliver();
}

TEST(EventQueue, EventsOfAllThreadsAreDeliveredOneAtATime) {
  const auto recorder = std::make_shared<Recorder>();  // no lock in it
  detail::EventQueue queue{recorder};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&] {
      for (int i = 0; i < 250; ++i) {
        queue.add({.kind = EventKind::kConnected});
        queue.deliver();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(recorder->seen.size(), 1000U);
}

TEST(Counters, SumWhatAllThreadsHaveAdded) {
  detail::Counters<2> counters;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 20; ++thread) {
    threads.emplace_back([&] {
      for (int i = 0; i < 1000; ++i) counters.add(1);
      counters.add(0, 7);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(counters.read(0), 140U);
  EXPECT_EQ(counters.read(1), 20'000U);
}

TEST(LatencyHistogram, ABucketHoldsUpToTwiceAsMuchAsTheOneBeforeIt) {
  EXPECT_EQ(LatencyHistogram::bucket_of(nanoseconds{0}), 0U);
  EXPECT_EQ(LatencyHistogram::bucket_of(nanoseconds{999}), 0U);
  EXPECT_EQ(LatencyHistogram::bucket_of(microseconds{1}), 1U);
  EXPECT_EQ(LatencyHistogram::bucket_of(microseconds{3}), 2U);
  EXPECT_EQ(LatencyHistogram::bucket_of(microseconds{4}), 3U);
  EXPECT_EQ(LatencyHistogram::bucket_of(microseconds{100'000'000}), LatencyHistogram::kBuckets - 1);
  for (std::size_t bucket = 0; bucket + 1 < LatencyHistogram::kBuckets; ++bucket) {
    const nanoseconds bound = LatencyHistogram::upper_bound(bucket);
    EXPECT_EQ(LatencyHistogram::bucket_of(bound - nanoseconds{1}), bucket);
    EXPECT_EQ(LatencyHistogram::bucket_of(bound), bucket + 1);
  }
}

TEST(LatencyHistogram, TotalIsTheSumOfItsBuckets) {
  LatencyHistogram histogram;
  histogram.counts[0] = 3;
  histogram.counts[LatencyHistogram::kBuckets - 1] = 4;
  EXPECT_EQ(histogram.total(), 7U);
}

}  // namespace
}  // namespace tollgate
