/// Counters for many threads with little contention: one set per group of threads, summed when read.
/// Thread safety: all of it.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace tollgate::inline v0::detail {

/// A number of the calling thread: 0, 1, 2, … in the order of their first calls.
[[nodiscard]] inline std::size_t thread_number() noexcept {
  static std::atomic<std::size_t> next{0};
  thread_local const std::size_t number = next.fetch_add(1, std::memory_order_relaxed);
  return number;
}

template <std::size_t kCount>
class Counters {
 public:
  void add(std::size_t counter, std::uint64_t amount = 1) noexcept {
    sets_[thread_number() % kSets].counters[counter].fetch_add(amount, std::memory_order_relaxed);
  }

  [[nodiscard]] std::uint64_t read(std::size_t counter) const noexcept {
    std::uint64_t sum = 0;
    for (const Set& set : sets_) sum += set.counters[counter].load(std::memory_order_relaxed);
    return sum;
  }

 private:
  static constexpr std::size_t kSets = 16;
  static constexpr std::size_t kCacheLine = 64;

  struct alignas(kCacheLine) Set {
    std::array<std::atomic<std::uint64_t>, kCount> counters{};
  };

  std::array<Set, kSets> sets_;
};

}  // namespace tollgate::inline v0::detail
