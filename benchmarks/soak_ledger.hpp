/// The tokens of allowed charges in the soak, per user, minute and life of the server, and whether that is
/// more than the limit allows. Thread safety: from all threads, but audit() and what it counts from one.
#pragma once

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "decisions/window.hpp"

namespace soak {

inline constexpr std::int64_t kThreads = 8;
inline constexpr std::int64_t kClients = 3;  // over TCP, through the gate, over a Unix socket
inline constexpr std::int64_t kLimit = 3'000;
inline constexpr std::int64_t kShare = 100;  // of each kLocalShare limiter
inline constexpr std::int64_t kMostTokens = 50;

// What is charged to the first users stays charged; to the next ones, some is given back; the last are also reset.
inline constexpr std::size_t kGranted = 300;
inline constexpr std::size_t kReturning = 100;
inline constexpr std::size_t kReset = 5;
inline constexpr std::size_t kUsers = kGranted + kReturning + kReset;
// Besides, users who are charged only once, so that no later charge sets the expiry of a key that has none.
inline constexpr std::int64_t kOncePerMinute = 300;

[[nodiscard]] inline std::int64_t minute_now() {
  return tollgate::decisions::unix_minute(std::chrono::system_clock::now());
}

/// Each pair of a minute and a life of the server is an epoch: their sum grows whenever one of them does.
class Ledger {
 public:
  struct When {
    std::int64_t minute;
    std::int64_t life;  // odd while the server is being restarted

    bool operator==(const When&) const = default;
    [[nodiscard]] bool is_certain() const { return life % 2 == 0; }
    [[nodiscard]] std::int64_t epoch() const { return minute + life / 2; }
  };

  [[nodiscard]] When now() const { return {minute_now(), life_}; }

  void begin_restart() { ++life_; }
  void end_restart() {
    ++life_;
    epochs_.at(slot(now().epoch())).begun_by_restart = true;
  }

  void add_admitted(When when, std::size_t user, std::int64_t tokens) {
    Epoch& epoch = epochs_.at(slot(when.epoch()));
    epoch.minute = when.minute;
    epoch.admitted.at(user) += tokens;
  }
  void add_returned(std::int64_t minute, std::size_t user, std::int64_t tokens) {
    minutes_.at(minute_slot(minute)).returned.at(user) += tokens;
  }
  void add_shared(std::int64_t minute, std::size_t user, std::int64_t tokens) {
    minutes_.at(minute_slot(minute)).shared.at(user) += tokens;
  }

  /// Judges the epochs that ended before the last one, or all. One thread.
  void audit(bool all) {
    const When when = now();
    for (; audited_ < when.epoch() - (all ? -1 : 2); ++audited_) audit(epochs_.at(slot(audited_)));
    for (; shared_audited_ < when.minute - (all ? -1 : 1); ++shared_audited_) {
      Minute& minute = minutes_.at(minute_slot(shared_audited_));
      for (std::size_t user = 0; user < kUsers; ++user) {
        if (minute.shared.at(user) > 2 * kShare)
          report(user, shared_audited_, "of the local shares", minute.shared.at(user));
      }
      for (auto* const table : {&minutes_.at(minute_slot(shared_audited_ + 3)).returned,
                                &minutes_.at(minute_slot(shared_audited_ + 3)).shared}) {
        std::fill(table->begin(), table->end(), 0);
      }
    }
  }

  [[nodiscard]] std::int64_t windows() const { return windows_; }
  [[nodiscard]] std::int64_t full() const { return full_; }
  [[nodiscard]] std::int64_t over_admitted() const { return over_admitted_; }
  /// Tokens over the limit, in lives of the server that began within a minute.
  [[nodiscard]] std::int64_t most_after_restart() const { return most_after_restart_; }

 private:
  using PerUser = std::array<std::atomic<std::int64_t>, kUsers>;
  struct Epoch {
    std::atomic<std::int64_t> minute{0};
    std::atomic<bool> begun_by_restart{false};
    PerUser admitted{};
  };
  struct Minute {
    PerUser returned{};
    PerUser shared{};  // granted by a local share
  };

  static std::size_t slot(std::int64_t epoch) { return static_cast<std::size_t>(epoch % 32); }
  static std::size_t minute_slot(std::int64_t minute) { return static_cast<std::size_t>(minute % 8); }

  void audit(Epoch& epoch) {
    // Undos that were waiting for a connection at a restart lower the new counter: one per caller and client at most.
    const bool begun_by_restart = epoch.begun_by_restart.exchange(false);
    const std::int64_t waiting = begun_by_restart ? kThreads * kClients * kMostTokens : 0;
    for (std::size_t user = 0; user < kGranted + kReturning; ++user) {
      const std::int64_t admitted = epoch.admitted.at(user).exchange(0);
      const std::int64_t returned = minutes_.at(minute_slot(epoch.minute)).returned.at(user);
      const std::int64_t excess = admitted - returned - kLimit;
      if (admitted > 0) ++windows_;
      if (admitted > kLimit - kMostTokens) ++full_;
      if (begun_by_restart) most_after_restart_ = std::max(most_after_restart_, excess);
      if (excess > waiting) report(user, epoch.minute, "admitted", admitted - returned);
    }
    for (std::size_t user = kGranted + kReturning; user < kUsers; ++user) epoch.admitted.at(user) = 0;
  }

  void report(std::size_t user, std::int64_t minute, const char* what, std::int64_t tokens) {
    ++over_admitted_;
    fmt::print("OVER-ADMITTED: user {}, minute {}: {} tokens {}\n", user, minute, tokens, what);
  }

  std::atomic<std::int64_t> life_{0};
  std::array<Epoch, 32> epochs_;
  std::array<Minute, 8> minutes_;
  std::int64_t audited_ = minute_now();
  std::int64_t shared_audited_ = minute_now();
  std::int64_t windows_ = 0;
  std::int64_t full_ = 0;
  std::int64_t over_admitted_ = 0;
  std::int64_t most_after_restart_ = 0;
};

}  // namespace soak
