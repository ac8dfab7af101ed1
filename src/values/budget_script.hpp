/// The layout of the arguments and of the reply of `budget.lua`, which serves every request of a BudgetLimiter.
/// Both are integers, in the order of the constants below. `src/values/scripts/budget.lua` says what each means.
/// Thread safety: constants.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tollgate::inline v0::budget_script {

/// The most charges of one call.
inline constexpr std::size_t kMaxCharges = 16;

// --- arguments: kHeader integers, then kChargeIntegers for each charge. The transport appends the serial number.

/// Indexes of the header.
inline constexpr std::size_t kMode = 0;
inline constexpr std::size_t kChargeCount = 1;
inline constexpr std::size_t kFlags = 2;
inline constexpr std::size_t kRecordTtl = 3;  ///< seconds to live of the record; 0 = there is no record
inline constexpr std::size_t kHeader = 4;     ///< the number of integers before the first charge

enum class Mode : std::int64_t {
  kPeek = 0,    ///< would the costs fit? Writes nothing.
  kCharge = 1,  ///< charges all costs, or none
  kAdjust = 2,  ///< charges positive costs past the limits, and gives negative ones back
};

/// Bits of kFlags. They say which keys follow the state keys, in this order.
inline constexpr std::int64_t kHasOverrides = 1;  ///< one hash for each charge
inline constexpr std::int64_t kHasRecord = 2;     ///< the record of the operation

/// Indexes within one charge. kKind is a Window::Kind.
inline constexpr std::size_t kKind = 0;
inline constexpr std::size_t kMax = 1;     ///< 0 … 2^53-1
inline constexpr std::size_t kLength = 2;  ///< seconds; 0 for a UTC month; the duration of a lease for slots
inline constexpr std::size_t kCost = 3;    ///< 0 … 2^53-1; kAdjust: negative gives back
inline constexpr std::size_t kWindow =
    4;  ///< kAdjust: the window that was charged, or kCurrentWindow; slots: the lease's id
inline constexpr std::size_t kOptions = 5;  ///< bits, see below
inline constexpr std::size_t kChargeIntegers = 6;

/// Bits of kOptions.
inline constexpr std::int64_t kShadow = 1;  ///< counts, and never refuses

inline constexpr std::int64_t kCurrentWindow = -1;

// --- reply: kStates integers, then kStateIntegers for each charge; the transport removes the serial number.

inline constexpr std::size_t kAllowed = 0;  ///< 1 or 0; or kRepeated
inline constexpr std::size_t kTime = 1;     ///< Unix time of the server, in ms
inline constexpr std::size_t kStates = 2;   ///< the number of integers before the first state

/// In place of 1 and 0, for an adjustment whose record exists. The reply then ends after the time.
inline constexpr std::int64_t kRepeated = -2;

/// Indexes within one state.
inline constexpr std::size_t kStatus = 0;      ///< bits, see below
inline constexpr std::size_t kMaxInForce = 1;  ///< the limit, or its override
inline constexpr std::size_t kRemaining = 2;   ///< 0 … max
inline constexpr std::size_t kResetAfter = 3;  ///< ms until nothing of what is counted now counts any more
inline constexpr std::size_t kRetryAfter = 4;  ///< ms, rounded up; 0 when the cost fits; kNever when it never will
inline constexpr std::size_t kChargedWindow =
    5;  ///< the window that was charged, or would be; slots: the lease, 0 = none
inline constexpr std::size_t kStateIntegers = 6;

inline constexpr std::int64_t kNever = -1;

/// Bits of kStatus.
inline constexpr std::int64_t kRefuses = 1;
inline constexpr std::int64_t kNeverFits = 2;        ///< the cost is larger than the max in force
inline constexpr std::int64_t kWouldRefuse = 4;      ///< the limit is in shadow mode
inline constexpr std::int64_t kOverrideIgnored = 8;  ///< the override in Redis is no number of 0 … 2^53-1

}  // namespace tollgate::inline v0::budget_script
