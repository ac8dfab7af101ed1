#include "transport/connection_machine.hpp"

#include <algorithm>
#include <new>
#include <utility>

#include "transport/resp_encoder.hpp"
#include "values/failures.hpp"

namespace tollgate::inline v0 {
namespace {

// When a connection this old gets READONLY, its server has been demoted, and its name may resolve to the new primary by
// now. When it gets NOAUTH or WRONGPASS, its login has ended, and new credentials may be accepted. A younger one would
// be made again in vain.
constexpr std::chrono::seconds kReplaceable{1};

}  // namespace

ConnectionMachine::ConnectionMachine(Driver& driver, std::chrono::milliseconds command_timeout,
                                     std::shared_ptr<ScriptPreload> scripts, Use use, unsigned seed)
    : driver_(driver),
      command_timeout_(command_timeout),
      scripts_(std::move(scripts)),
      use_(use),
      queue_(static_cast<Serial>(seed)),
      health_(command_timeout, seed) {}

std::optional<ConnectionMachine::Handle> ConnectionMachine::add_call(const CommandBatch& batch, Serial serial,
                                                                     std::string_view bytes,
                                                                     const std::shared_ptr<ReplyHandler>& late,
                                                                     Time now, Failure& refusal) {
  if (is_connected_ && scripts_->is_retry_due(now)) preload_scripts(now);
  const auto permission = health_.ask(now);
  if (permission == ServerHealth::Permission::kRefused) {
    refusal = health_.refusal();
    return std::nullopt;
  }
  const bool is_probe = permission == ServerHealth::Permission::kProbe;
  std::optional<Handle> call;
  try {
    call = queue_.add_call(batch, serial, bytes, late);
  } catch (const std::bad_alloc&) {
    if (is_probe) health_.end_probe();
    throw;
  }
  if (!call) {
    if (is_probe) health_.end_probe();
    refusal = detail::failure(Errc::kOverloaded, false, "4096 calls or 1 MiB are on their way");
    return std::nullopt;
  }
  (*call)->since = now;
  if (is_probe) probe_ = &**call;
  return call;
}

bool ConnectionMachine::add_post(CommandBatch& batch, Serial serial, std::string_view bytes,
                                 std::shared_ptr<ReplyHandler>& handler, Time now) {
  const auto post = queue_.add_post(batch, serial, bytes, handler);
  if (post) (*post)->since = now;
  return post.has_value();
}

/// The batch of a call belongs to its caller, so where it cannot be copied the exchange must end.
ConnectionMachine::GivenUp ConnectionMachine::give_up(Handle call, Failure& failure,
                                                      FinishedExchanges& finished) noexcept {
  const GivenUp given_up = queue_.give_up(call);
  failure.may_have_executed = given_up != GivenUp::kWithdrawn;
  if (given_up == GivenUp::kNoMemory) {
    if (call->stage == Exchange::Stage::kInFlight) drop_connection(failure, finished);
    if (!call->done()) queue_.fail_pending(call, failure, finished);
  }
  return given_up;
}

ConnectionMachine::GivenUp ConnectionMachine::time_out(Handle call, Time now, Failure& failure,
                                                       FinishedExchanges& finished) noexcept {
  const Time since = call->since;
  const GivenUp given_up = give_up(call, failure, finished);
  note_timeout(failure, now, since, finished);
  end_probe_of(*call);
  return given_up;
}

ConnectionMachine::GivenUp ConnectionMachine::cancel(Handle call, FinishedExchanges& finished) noexcept {
  end_probe_of(*call);
  Failure failure = detail::failure(Errc::kConnectionLost, false, "out of memory");
  return give_up(call, failure, finished);
}

void ConnectionMachine::end_probe_of(const Exchange& call) noexcept {
  if (probe_ != &call) return;
  probe_ = nullptr;
  health_.end_probe();
}

void ConnectionMachine::note_timeout(const Failure& failure, Time now, Time since,
                                     FinishedExchanges& finished) noexcept {
  if (failure.may_have_executed) has_timed_out_.store(true, std::memory_order_relaxed);
  // The whole time of the call was used to connect; the connection is established, and the next call uses it.
  if (is_connected_ && connected_at_ > since && !failure.may_have_executed) return;
  if (!health_.counts_as_failure(now, since, silent_since(now))) return;
  circuit_changed(health_.fail(now, failure), failure, finished);
}

void ConnectionMachine::failed_elsewhere(const Failure& failure, Time now, Time since,
                                         FinishedExchanges& finished) noexcept {
  if (circuit_is_open()) return;  // only the connection's own probe closes the circuit
  if (failure.code == Errc::kTimeout) return note_timeout(failure, now, since, finished);
  circuit_changed(health_.fail(now, failure), failure, finished);
}

ConnectionMachine::Action ConnectionMachine::next_action() const noexcept {
  if (!is_connected_) return queue_.has_pending() ? Action::kConnect : Action::kNone;
  if (can_send() && !is_blocked_) return Action::kSend;
  // Nothing more is sent: an exchange that was sent in part is never answered, nor any after it.
  if (is_closing_ && !is_sending_ && (queue_.in_flight() == 0 || unsent_ > 0)) return Action::kClose;
  return Action::kReceive;
}

bool ConnectionMachine::begin_connecting(Time now, FinishedExchanges& finished) noexcept {
  if (may_connect(now)) return true;
  queue_.fail_pending_calls(health_.refusal(), finished);
  return false;
}

void ConnectionMachine::connected(Time now, bool has_answered, const LoginRenewal& login) noexcept {
  is_connected_ = true;
  has_answered_ = has_answered;
  login_ = login;
  connected_at_ = last_received_ = now;
  has_timed_out_.store(false, std::memory_order_relaxed);
  preload_scripts(now);
}

void ConnectionMachine::connect_failed(const Failure& failure, Time now, FinishedExchanges& finished) noexcept {
  circuit_changed(health_.open(now, failure), failure, finished);
}

/// Adds the scripts before all pending exchanges, to be sent in the same write. When memory is short, scripts are
/// loaded when first called.
void ConnectionMachine::preload_scripts(Time now) noexcept {
  try {
    CommandBatch batch = scripts_->batch(now);
    if (batch.empty()) return;
    const Serial serial = queue_.take_serial(batch);
    RespBuffer bytes;
    append_resp(bytes, batch, serial, ScriptForm::kEval);
    std::shared_ptr<ReplyHandler> handler = scripts_;
    const auto exchange = queue_.add_post(batch, serial, bytes.view(), handler, true);
    if (exchange) (*exchange)->since = now;
  } catch (const std::bad_alloc&) {
  }
}

void ConnectionMachine::begin_sending(Time now, std::string& out, FinishedExchanges& finished) noexcept {
  is_sending_ = true;
  queue_.take_pending(now, out, finished);
}

std::size_t ConnectionMachine::sent(std::size_t unsent, bool is_broken, FinishedExchanges& finished) noexcept {
  is_sending_ = false;
  is_closing_ = is_closing_ || is_broken;
  is_blocked_ = unsent > 0;
  unsent_ = queue_.put_back(unsent, finished);
  return unsent_;
}

const Exchange* ConnectionMachine::received(std::vector<Reply>& replies, const Failure& end, bool is_out_of_memory,
                                            Time now, FinishedExchanges& finished) noexcept {
  is_out_of_memory_ = is_out_of_memory;
  if (!replies.empty()) {
    last_received_ = now;
    has_timed_out_.store(false, std::memory_order_relaxed);
    if (queue_.in_flight() > 0) has_answered_ = true;
  }
  Failure failure;
  FinishedExchanges completed;
  for (Reply& reply : replies) {
    if (reply.is_error() && demands_new_connection(reply, now)) is_closing_ = true;
    const auto delivery = queue_.deliver(std::move(reply), completed);
    if (delivery == ExchangeQueue::Delivery::kTaken) continue;
    is_out_of_memory_ = delivery == ExchangeQueue::Delivery::kOutOfMemory;
    failure = is_out_of_memory_ ? detail::failure(Errc::kConnectionLost, true, "out of memory")
                                : detail::failure(Errc::kProtocol, true,
                                                  "a reply that answers no request: the connection was out of step");
    break;
  }
  replies.clear();
  const Exchange* const last = completed.last();
  finished.append(completed);
  for (const Exchange* exchange = completed.first(); exchange != nullptr; exchange = exchange->next_finished) {
    note_outcome(*exchange, now, finished);
    if (exchange == last) break;  // those behind it have ended because the circuit opened
  }
  const Failure& cause = failure.code ? failure : end;
  if (cause.code && is_connected_) lose_connection(cause, now, finished);
  return last;
}

/// Whether this error means that only another connection can serve later calls. What was sent is answered first.
bool ConnectionMachine::demands_new_connection(const Reply& reply, Time now) noexcept {
  if (now - connected_at_ <= kReplaceable || is_sending_ || unsent_ > 0 || queue_.awaits_login_reply()) return false;
  const std::string_view text = reply.text();
  if (text.starts_with("NOAUTH") || text.starts_with("WRONGPASS")) return is_logged_out_ = true;
  return text.starts_with("READONLY");
}

/// Updates the health by the replies to a call: an error that any client would get is a failure.
void ConnectionMachine::note_outcome(const Exchange& exchange, Time now, FinishedExchanges& finished) noexcept {
  if (exchange.is_login) return note_login(exchange, now);
  if (!exchange.awaited || !exchange.result.ok()) return;
  if (const auto inability = ServerHealth::inability_in(exchange.result.replies)) {
    if (is_logged_out_) return;  // whether the next connection logs in decides
    circuit_changed(health_.fail(now, *inability), *inability, finished);
  } else {
    circuit_changed(health_.succeed(), {}, finished);
  }
}

void ConnectionMachine::renew_login(const Credentials& credentials, Time asked_at) {
  if (!is_connected_ || !login_.is_asking()) return;
  std::string bytes;
  append_auth(bytes, credentials);
  queue_.add_login(bytes, asked_at);
  login_.renewed(asked_at, credentials.valid_for);
}

void ConnectionMachine::login_not_renewed(const Failure& why, Time now) noexcept {
  if (!is_connected_ || !login_.is_asking()) return;
  const bool is_first = login_.failed(now);
  driver_.login_refused(why, login_.due(), is_first);
}

void ConnectionMachine::note_login(const Exchange& exchange, Time now) noexcept {
  if (!exchange.result.ok()) return;
  if (!exchange.result.replies[0].is_error()) return login_.accepted();
  Failure why{Errc::kAuthFailed};
  try {
    why = failure_from_error_reply(exchange.result.replies[0].text(), "AUTH");
  } catch (const std::bad_alloc&) {  // the error code is sufficient
  }
  const bool is_first = login_.failed(now);
  driver_.login_refused(why, login_.due(), is_first);
}

void ConnectionMachine::circuit_changed(ServerHealth::Change change, const Failure& failure,
                                        FinishedExchanges& finished) noexcept {
  switch (change) {
    case ServerHealth::Change::kNone: return;
    case ServerHealth::Change::kClosed: return driver_.circuit_closed();
    case ServerHealth::Change::kOpened: driver_.circuit_opened(failure); break;
    case ServerHealth::Change::kStaysOpen: break;
  }
  Failure cause = detail::copy_of(failure);
  cause.may_have_executed = false;
  drop_connection(detail::failure(Errc::kConnectionLost, true, "given up when the circuit opened"), finished);
  queue_.fail_pending_calls(cause, finished);
}

/// Updates the health when the connection ends. A connection that never answered counts as a failed attempt, and one
/// that ends with calls in flight as a failure; an idle one is only made again. An end because our memory was short,
/// and the end of a maintenance connection, do not count.
void ConnectionMachine::lose_connection(const Failure& failure, Time now, FinishedExchanges& finished) noexcept {
  const bool had_answered = has_answered_;
  const bool counts = !is_out_of_memory_ && use_ == Use::kCalls;
  const bool amid_calls = queue_.in_flight() > 0;
  drop_connection(failure, finished);
  if (!counts) return;
  if (!had_answered) return circuit_changed(health_.open(now, failure), failure, finished);
  if (amid_calls) circuit_changed(health_.fail(now, failure), failure, finished);
}

void ConnectionMachine::drop_connection(const Failure& failure, FinishedExchanges& finished) noexcept {
  if (is_connected_) {
    driver_.close_connection(failure);
    is_connected_ = is_closing_ = is_sending_ = is_blocked_ = has_answered_ = is_out_of_memory_ = is_logged_out_ =
        false;
    unsent_ = 0;
    login_ = {};
    queue_.discard_pending(*scripts_);  // the next connection loads them again
    queue_.discard_pending_login();
    has_timed_out_.store(false, std::memory_order_relaxed);
  }
  Failure in_doubt = detail::copy_of(failure);
  in_doubt.may_have_executed = true;
  queue_.fail_in_flight(in_doubt, finished);
}

void ConnectionMachine::close(Time now, FinishedExchanges& finished) noexcept {
  lose_connection(detail::failure(Errc::kConnectionLost, false, "closed in favour of a new one"), now, finished);
}

void ConnectionMachine::give_up_connection(const Failure& why, FinishedExchanges& finished) noexcept {
  drop_connection(why, finished);
  queue_.fail_pending_calls(why, finished);
}

void ConnectionMachine::end(FinishedExchanges& finished) noexcept {
  drop_connection(detail::failure(Errc::kConnectionLost, true, "client ended"), finished);
  const Failure unsent = detail::failure(Errc::kConnectionLost, false, "client ended");
  queue_.fail_pending_calls(unsent, finished);
  queue_.fail_pending_posts(unsent, finished);
}

ConnectionMachine::Time ConnectionMachine::silent_since(Time now) const noexcept {
  return std::max(last_received_, queue_.in_flight_since().value_or(now));
}

bool ConnectionMachine::is_silent(Time now) const noexcept {
  if (!is_connected_ || queue_.abandoned() == 0) return false;
  return now - silent_since(now) >= command_timeout_;
}

bool ConnectionMachine::are_late_replies_overdue(Server server, Time now) noexcept {
  const bool are_none = queue_.detached() == 0;
  if (!are_none && server == Server::kAnswers && now > overdue_at_) return true;
  if (are_none || server == Server::kFails) {
    overdue_at_ = Time::max();
  } else if (server == Server::kAnswers) {
    overdue_at_ = std::min(overdue_at_, now + command_timeout_);
  }
  return false;
}

}  // namespace tollgate::inline v0
