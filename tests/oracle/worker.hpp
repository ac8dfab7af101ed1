/// One process of the oracle: makes random requests for a few users, and records requests and decisions.
/// Thread safety: a worker is one thread; SharedState is for all processes.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string>

#include "oracle/log.hpp"

namespace tollgate::tests {

/// How a run is broken on purpose, to see that the oracle notices.
enum class Sabotage : std::uint8_t {
  kNone,
  kUndoLeftOut,
  kSettleLeftOut,
  kSettleAppliedTwice,
  kLimitTooHigh,
  kLimitTooLow,
  kMemoryTooLong,
};

/// A token on its way from one process to another. `state` goes free, written, full, free.
struct Letter {
  std::atomic<int> state{0};
  Counter counter = 0;
  std::uint32_t name = 0;
  std::int64_t held = 0;
  std::int64_t earlier = 0;
  std::size_t size = 0;
  std::array<char, 1024> token{};
};

struct SharedState {
  std::atomic<bool> go{false};
  std::atomic<std::int64_t> operations_left{0};
  std::atomic<std::int64_t> phase{1};  // the minute that workers take it to be, from kFirstMinute on
  struct alignas(64) OfWorker {
    std::atomic<std::int64_t> phase{0};  // reached: what was posted before has been answered
    std::atomic<std::uint64_t> undelivered{0};
  };
  std::array<OfWorker, kWorkers> workers;
  std::array<Letter, 16> letters;
};
inline constexpr std::int64_t kEnded = 1'000'000'000;  // the phase of a worker that has ended

/// Works until no operations are left. Throws when something failed that must not.
void run_worker(int number, std::uint64_t seed, Sabotage sabotage, const std::string& url, SharedState& shared,
                Log& log);
void run_plain_worker(std::uint64_t seed, std::uint16_t port, SharedState& shared, Log& log);

}  // namespace tollgate::tests
