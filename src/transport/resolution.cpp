#include "transport/resolution.hpp"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <limits>
#include <utility>

#include "transport/name_lookup.hpp"
#include "transport/resolver.hpp"
#include "transport/wait_word.hpp"

namespace tollgate::inline v0 {

std::shared_ptr<Resolution> Resolution::start(const std::string& host, std::uint16_t port) {
  if (HostAddresses numeric = read_numeric_address(host, port); numeric.error.empty()) {
    auto resolution = std::make_shared<Resolution>();
    resolution->finish(std::move(numeric));
    return resolution;
  }
  return Resolver::of_process().start(host, port);
}

bool Resolution::wait_until(std::chrono::steady_clock::time_point deadline) noexcept {
  const timespec until = to_timespec(deadline.time_since_epoch());
  while (finished_.load(std::memory_order_acquire) == 0) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    ::syscall(SYS_futex, &finished_, FUTEX_WAIT_BITSET_PRIVATE, 0, &until, nullptr, FUTEX_BITSET_MATCH_ANY);
  }
  return true;
}

void Resolution::finish(HostAddresses found) noexcept {
  found_ = std::move(found);
  finished_.store(1, std::memory_order_release);
  ::syscall(SYS_futex, &finished_, FUTEX_WAKE_PRIVATE, std::numeric_limits<int>::max(), nullptr, nullptr, 0);
}

}  // namespace tollgate::inline v0
