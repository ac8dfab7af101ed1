/// One search for the primary of a service, as a state machine without I/O: it names the sentinel to ask or the server
/// to check, and takes the replies. Sentinels are asked in turn, from the last good one on; the first server that a
/// sentinel names and whose ROLE is master is the primary. A sentinel that still names the old primary therefore does
/// not win: that server is gone, or says that it is a replica by now, and the next sentinel is asked.
///
/// A search that fails says what each sentinel answered. It is a misconfiguration when the primary refused the login,
/// or when more than half of the sentinels refused or do not have the service; otherwise an outage.
/// Thread safety: one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tollgate/error.hpp"
#include "tollgate/values/reply.hpp"
#include "values/url.hpp"

namespace tollgate::inline v0 {

class SentinelSearch {
 public:
  enum class Action : std::uint8_t {
    kAskSentinel,   ///< send query() to sentinel(): sentinel_answered() or sentinel_failed()
    kCheckPrimary,  ///< connect to primary() and send ROLE: primary_answered() or primary_failed()
    kFound,         ///< primary() is the primary
    kFailed,        ///< failure() says why
  };

  /// `url` must outlive the search. `first`: the index of the sentinel that is asked first.
  SentinelSearch(const Url& url, std::size_t first) : url_(url), first_(first % url.hosts().size()) {}

  [[nodiscard]] Action action() const noexcept { return action_; }
  /// The index of the sentinel that is asked, or that named primary().
  [[nodiscard]] std::size_t sentinel() const noexcept { return (first_ + asked_) % url_.hosts().size(); }
  /// The sentinels that can still be asked, this one included.
  [[nodiscard]] std::size_t sentinels_left() const noexcept { return url_.hosts().size() - asked_; }
  [[nodiscard]] const HostAndPort& primary() const noexcept { return primary_; }
  [[nodiscard]] const Failure& failure() const noexcept { return failure_; }

  /// SENTINEL GET-MASTER-ADDR-BY-NAME as RESP.
  [[nodiscard]] static std::string query(const std::string& service);
  /// ROLE as RESP.
  [[nodiscard]] static std::string role_query();

  // The outcome of the action. All may throw std::bad_alloc; then the search must be discarded.

  void sentinel_answered(const Reply& reply);
  void sentinel_failed(const Failure& failure);
  void primary_answered(const Reply& role);
  void primary_failed(const Failure& failure);
  void timed_out();

 private:
  void note(const Failure& failure);
  void ask_next();
  void fail();

  const Url& url_;
  const std::size_t first_;
  std::size_t asked_ = 0;  // sentinels that are done with
  Action action_ = Action::kAskSentinel;
  HostAndPort primary_;
  std::vector<HostAndPort> refused_;  // servers that were named and are not the primary
  std::optional<Failure> login_refused_;
  std::optional<Failure> misconfigured_;  // the first of the sentinels that are not set up
  std::size_t misconfigured_count_ = 0;
  std::string details_;  // what each sentinel and each server answered
  Failure failure_;
};

}  // namespace tollgate::inline v0
