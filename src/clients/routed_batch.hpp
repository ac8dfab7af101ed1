/// A batch on its way through a Redis Cluster: which of its commands are still to be executed, where, and when, by the
/// replies that came so far. Pure: a client makes the round trips.
///
/// No command that was executed, or may have been, is sent again, except EXPIRE, which may be executed any number of
/// times: where an INCRBY was redirected, the EXPIRE behind it on the same key follows it, so that no key is left
/// without expiry.
/// Thread safety: one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "tollgate/values/command_batch.hpp"
#include "tollgate/values/reply.hpp"
#include "values/url.hpp"

namespace tollgate::inline v0 {

class RoutedBatch {
 public:
  /// Where a command goes: to the node that the slot map names, or to the one that the last reply named.
  struct Route {
    std::optional<HostAndPort> node = std::nullopt;
    bool is_asked = false;  ///< ASKING is sent before the command
  };

  struct Pending {
    std::size_t command;  ///< its index in the batch
    Route route;
  };

  /// `batch` must outlive this object. At first every command is pending, by the slot map.
  explicit RoutedBatch(const CommandBatch& batch);

  [[nodiscard]] const std::vector<Pending>& pending() const noexcept { return pending_; }
  /// Whether a pending command should not be sent again at once: its slot is served by no node now, or the batch was
  /// redirected more than kMostRedirections times.
  [[nodiscard]] bool must_pause() const noexcept { return must_pause_; }
  static constexpr int kMostRedirections = 5;

  /// Takes the outcomes of the pending commands, one call each, in any order; then next() begins the next round.
  /// `host`: the host that answered.
  void answer(std::size_t command, Reply reply, std::string_view host);
  void fail(std::size_t command, const Failure& failure);
  /// The command was not sent: it stays pending, after a pause.
  void keep(std::size_t command) { next_.push_back({command, {}}), next_pauses_ = true; }

  /// Ends a round. Returns whether commands are pending.
  bool next();

  /// The outcome; commands that are pending fail with `given_up`, or have the last error reply where there was one that
  /// says why the slot is not served.
  [[nodiscard]] BatchResult finish(const Failure& given_up);

  /// EXPIREs without a reply whose INCRBY was executed: the counter may have no expiry. Call it before finish().
  [[nodiscard]] CommandBatch lost_expiries() const;

 private:
  enum class State : std::uint8_t { kPending, kAnswered, kFailed };

  [[nodiscard]] bool is_expiry_of(std::size_t expire, std::size_t command) const;

  const CommandBatch& batch_;
  std::vector<State> states_;
  std::vector<Reply> replies_;  // of a pending command: the error that says why
  std::vector<CommandFailure> failures_;
  std::vector<Pending> pending_;
  std::vector<Pending> next_;
  int redirections_ = 0;
  bool must_pause_ = false;
  bool next_pauses_ = false;
};

}  // namespace tollgate::inline v0
