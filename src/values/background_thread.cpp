#include "values/background_thread.hpp"

#include <utility>

#include "values/blocked_signals.hpp"

namespace tollgate::inline v0::detail {
std::thread start_background_thread(std::function<void()> work) {
  const BlockedSignals blocked;  // inherited by the thread
  return std::thread{std::move(work)};
}

}  // namespace tollgate::inline v0::detail
