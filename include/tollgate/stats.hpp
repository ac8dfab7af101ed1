/// Counters of a limiter and of the client below it, since they were made.
/// Reading takes no lock, so related numbers may differ by the calls in flight. Thread safety: plain values.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace tollgate::inline v0 {

/// A histogram of latencies: bucket i counts those of 2^(i-1) microseconds or more and less than 2^i; the last bucket,
/// also all longer ones.
struct LatencyHistogram {
  static constexpr std::size_t kBuckets = 24;  // up to 4.2 s, and longer

  std::array<std::uint64_t, kBuckets> counts{};

  [[nodiscard]] static constexpr std::size_t bucket_of(std::chrono::nanoseconds latency) noexcept {
    std::size_t bucket = 0;
    for (auto left = latency / 1000; left.count() > 0 && bucket + 1 < kBuckets; left /= 2) ++bucket;
    return bucket;
  }
  /// The exclusive upper bound of a bucket; the last one also counts longer latencies.
  [[nodiscard]] static constexpr std::chrono::microseconds upper_bound(std::size_t bucket) noexcept {
    return std::chrono::microseconds{std::int64_t{1} << bucket};
  }
  [[nodiscard]] constexpr std::uint64_t total() const noexcept {
    std::uint64_t sum = 0;
    for (const std::uint64_t count : counts) sum += count;
    return sum;
  }
};

/// Counters of a client; all zero for one that counts nothing, such as `memory://`.
struct ClientStats {
  LatencyHistogram latency;          ///< of calls that were answered, from call to return: one round trip each
  std::uint64_t failed = 0;          ///< calls that were not answered
  std::uint64_t failed_at_once = 0;  ///< of those: while the circuit was open, or with too many in flight
  std::uint64_t posted = 0;          ///< batches that no call waited for: undos, settlements, repairs
  std::uint64_t connects = 0;        ///< how often its primary connection was established
  std::uint64_t disconnects = 0;     ///< how often that connection was lost
  std::uint64_t circuit_opened = 0;
};

/// Decisions returned by consume, check_and_consume, try_consume, peek, reserve and add, by their Decision::source.
/// get_remaining returns no decision and is not counted.
struct DecisionCounts {
  std::uint64_t by_redis = 0;
  std::uint64_t locally = 0;
  std::uint64_t by_policy = 0;

  [[nodiscard]] constexpr std::uint64_t total() const noexcept { return by_redis + locally + by_policy; }
};

/// Posts (undo, settle, repair) that did not reach Redis, or may not have: none is sent twice when in doubt.
struct Undelivered {
  std::uint64_t batches = 0;
  std::uint64_t tokens = 0;  ///< the amount by which counters may be too high or too low
};

/// Counters of a limiter and its reservations.
struct Stats {
  DecisionCounts allowed;
  DecisionCounts denied;       ///< includes what try_consume denies where kThrow would throw
  std::uint64_t failed = 0;    ///< calls that threw tollgate::Error
  std::uint64_t in_doubt = 0;  ///< charges whose reply was lost: they may have been executed
  std::uint64_t in_doubt_tokens = 0;
  Undelivered undelivered;
  std::uint64_t reservations_dropped = 0;  ///< destroyed with tokens charged, without settle(), cancel() or token()
  ClientStats client;                      ///< of the client, also when several limiters share it
  std::uint64_t misconfigured = 0;         ///< requests that failed by Redis's configuration, see is_misconfiguration()
};

}  // namespace tollgate::inline v0
