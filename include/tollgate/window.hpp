/// How long a limit of a BudgetLimiter counts what it admits. In every kind of window the server's clock decides, so
/// the hosts' clocks do not matter.
///
/// Thread safety: that of any value.
#pragma once

#include <chrono>
#include <cstdint>

namespace tollgate::inline v0 {

/// A window of 1 s … 366 days, given in whole seconds. A limiter checks the range when it is made, and throws
/// std::invalid_argument then.
///
/// Redis keeps one key for each limit and subject. It is bounded in size however much is charged, expires when it no
/// longer counts, and holds the kind and the length of its window: changing a limit's window starts its count anew.
/// While processes with the old and the new configuration run, each starts the other's count anew; give the limit a new
/// name to avoid that.
///
/// The promises below hold for one state of Redis. Where the server's clock jumps back (a failover to a server whose
/// clock is behind), a window that was charged goes on until that clock has passed it.
class Window {
 public:
  enum class Kind : std::uint8_t {
    kFixed = 0,
    kUtcMonth = 1,
    kTokenBucket = 2,
    kSliding = 3,
    kConcurrent = 4,
  };

  static constexpr std::chrono::seconds kShortest{1};
  static constexpr std::chrono::hours kLongest{std::chrono::hours{24} * 366};
  /// The largest max of a concurrent() window. Its key holds every lease, and each call reads and replaces it: 1000
  /// leases are about 33 kB.
  static constexpr std::int64_t kMaxSlots = 1000;

  /// At most max in each window [k * length, (k + 1) * length) of Unix time. Around the turn of a window twice max may
  /// be admitted within a moment; sliding() avoids that.
  [[nodiscard]] static constexpr Window fixed(std::chrono::seconds length) noexcept { return {Kind::kFixed, length}; }

  /// At most max in every interval of this length, wherever it begins. Charges are counted in sub-windows of a
  /// sixteenth of the length, each as a whole while any part of it lies in the interval that ends now. So a charge
  /// counts for up to 17/16 of the length: under steady load that holds back up to 1/17 of max.
  [[nodiscard]] static constexpr Window sliding(std::chrono::seconds length) noexcept {
    return {Kind::kSliding, length};
  }

  /// A bucket that holds max tokens at most, and refills max per period, continuously: in any interval of length t at
  /// most max + max * t / period, rounded down. This is the token bucket of RFC 2697 with a burst size of max; OpenAI
  /// and Anthropic describe their limits per minute so. Tokens that are given back never raise it above max, nor above
  /// what it would hold had they not been charged; one period after the charge nothing is given back any more. Where
  /// another max comes into force, the time since the last charge refills at the new rate.
  [[nodiscard]] static constexpr Window token_bucket(std::chrono::seconds period) noexcept {
    return {Kind::kTokenBucket, period};
  }

  /// As fixed(24 h): from midnight to midnight UTC.
  [[nodiscard]] static constexpr Window utc_day() noexcept { return fixed(std::chrono::hours{24}); }

  /// As fixed(), from the first of a month, 00:00 UTC, to the first of the next.
  [[nodiscard]] static constexpr Window utc_month() noexcept { return {Kind::kUtcMonth, std::chrono::seconds{0}}; }

  /// Counts what runs now: a reservation takes slots, and frees them when it is settled or cancelled. They are leased:
  /// a lease that is not renewed ends after this time, so that a crashed process frees its slots. At most max slots,
  /// and at most kMaxSlots, are held at a time, but for leases that ended while their work still runs: choose a lease
  /// longer than the longest pause between renewals.
  [[nodiscard]] static constexpr Window concurrent(std::chrono::seconds lease) noexcept {
    return {Kind::kConcurrent, lease};
  }

  [[nodiscard]] constexpr Kind kind() const noexcept { return kind_; }

  /// The length of a fixed or sliding window, the period of a bucket, the duration of a lease; 0 for a UTC month.
  [[nodiscard]] constexpr std::chrono::seconds length() const noexcept { return length_; }

  /// Whether the length is in the range of kShortest … kLongest, or that of a UTC month.
  [[nodiscard]] constexpr bool is_valid() const noexcept {
    return kind_ == Kind::kUtcMonth || (length_ >= kShortest && length_ <= kLongest);
  }

  constexpr bool operator==(const Window&) const noexcept = default;

 private:
  constexpr Window(Kind kind, std::chrono::seconds length) noexcept : kind_(kind), length_(length) {}

  Kind kind_;
  std::chrono::seconds length_;
};

}  // namespace tollgate::inline v0
