#include "transport/server_health.hpp"

#include <new>
#include <string_view>

#include "values/failures.hpp"

namespace tollgate::inline v0 {
namespace {

/// The code without texts, so that the replies of a healthy server cause no allocation. TRYAGAIN and "CLUSTERDOWN Hash
/// slot not served" concern one slot of a Cluster.
bool says_unable(const Reply& reply) noexcept {
  if (!reply.is_error()) return false;
  const std::string_view text = reply.text();
  for (const std::string_view word :
       {"LOADING", "MASTERDOWN", "CLUSTERDOWN The cluster", "READONLY", "MISCONF", "NOREPLICAS", "NOAUTH", "BUSY "}) {
    if (text.starts_with(word)) return true;
  }
  return false;
}

}  // namespace

std::optional<Failure> ServerHealth::inability_in(const Replies& replies) noexcept {
  for (std::size_t i = 0; i < replies.size(); ++i) {
    if (!says_unable(replies[i])) continue;
    try {
      return failure_from_error_reply(replies[i].text());
    } catch (const std::bad_alloc&) {
      return Failure{Errc::kServerError};
    }
  }
  return std::nullopt;
}

ServerHealth::Change ServerHealth::succeed() noexcept {
  const Change change = breaker_.succeed();
  if (change == Change::kClosed) is_open_.store(false, std::memory_order_relaxed);
  return change;
}

ServerHealth::Change ServerHealth::fail(Time now, const Failure& failure) noexcept {
  return changed(breaker_.fail(now, random()), failure);
}

ServerHealth::Change ServerHealth::open(Time now, const Failure& failure) noexcept {
  return changed(breaker_.open(now, random()), failure);
}

ServerHealth::Change ServerHealth::changed(Change change, const Failure& failure) noexcept {
  if (change == Change::kNone) return change;
  is_open_.store(true, std::memory_order_relaxed);
  cause_ = detail::copy_of(failure);
  cause_.may_have_executed = false;
  return change;
}

Failure ServerHealth::refusal() const noexcept {
  Failure failure = detail::copy_of(cause_);
  try {
    if (!failure.detail.empty()) failure.detail += "; ";
    failure.detail += "not tried again yet: the circuit is open";
  } catch (const std::bad_alloc&) {  // the error code is sufficient
  }
  return failure;
}

}  // namespace tollgate::inline v0
