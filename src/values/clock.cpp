#include "tollgate/clock.hpp"

#include <ctime>

namespace tollgate::inline v0 {

namespace {

class SystemClock final : public Clock {
 public:
  std::chrono::system_clock::time_point now() const noexcept override { return std::chrono::system_clock::now(); }
  std::chrono::steady_clock::time_point steady_now() const noexcept override {
    timespec time{};
    ::clock_gettime(CLOCK_MONOTONIC_COARSE, &time);
    return std::chrono::steady_clock::time_point{std::chrono::seconds{time.tv_sec} +
                                                 std::chrono::nanoseconds{time.tv_nsec}};
  }
};

/// Never destroyed: a limiter may be used while statics are being destroyed.
union LastingClock {
  constexpr LastingClock() noexcept : clock{} {}
  ~LastingClock() {}  // NOLINT(modernize-use-equals-default): defaulted, it would be deleted
  SystemClock clock;
};

constinit LastingClock lasting_clock;

}  // namespace

std::shared_ptr<const Clock> system_clock() { return {std::shared_ptr<void>{}, &lasting_clock.clock}; }

}  // namespace tollgate::inline v0
