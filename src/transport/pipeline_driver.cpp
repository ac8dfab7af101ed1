#include <array>
#include <new>
#include <string_view>
#include <utility>

#include "transport/pipeline.hpp"
#include "transport/pipeline_scopes.hpp"
#include "transport/resp_encoder.hpp"
#include "values/failures.hpp"

namespace tollgate::inline v0 {
namespace {

using SteadyClock = std::chrono::steady_clock;

// With fewer exchanges in flight, each caller sends at once.
constexpr std::size_t kWriteThrough = 2;
// With this many exchanges in flight or more, replies come continuously.
constexpr std::size_t kLoad = 4;
// A connection that has received nothing for longer is read before a charge is sent, in case it has been closed.
constexpr std::chrono::microseconds kIdle{500};
// When a connection this old gets READONLY, its server has been demoted; its name may resolve to the new primary by
// now.
constexpr std::chrono::seconds kDemotable{1};

// The number of handlers that this thread is executing. The thread may be the driver, so an observer that it called
// could call the limiter and wait for this thread.
thread_local int handlers_entered = 0;

}  // namespace

bool Pipeline::is_in_handler() noexcept { return handlers_entered > 0; }

bool Pipeline::may_connect(Time now) const noexcept { return connection_ != nullptr || health_.may_connect(now); }

bool Pipeline::may_write() const noexcept {
  return connection_ != nullptr && !connection_->writing && !connection_->closing;
}

/// Sends whole exchanges, or the rest of one that was sent in part.
bool Pipeline::can_write_something() const noexcept {
  return may_write() && (queue_.has_pending() || !connection_->outgoing.empty());
}

bool Pipeline::writes_at_once() const noexcept { return queue_.in_flight() < kWriteThrough || round_trip_.is_slow(); }

void Pipeline::step_towards_connection(Lock& lock) {
  const Time now = SteadyClock::now();
  if (connection_ || driver_ != nullptr || !may_connect(now)) return;
  const DriverScope role{*this};
  establish(lock, now);
  last_read_ = {};  // the replies may have come long ago, and an end of the connection after them
}

/// Whether the driver may stop: a call drives until it is done; drain(), which has no call, until no posts and late
/// replies are left or no connection may be attempted.
bool Pipeline::has_driven_enough(const Exchange* call) const noexcept {
  return call != nullptr ? call->done() : queue_.detached() == 0 || !may_connect(SteadyClock::now());
}

/// The driver's work, for `call` (null for drain()), and at most until `until`.
void Pipeline::drive(Lock& lock, Time until, const Exchange* call) {
  while (!has_driven_enough(call)) {
    if (!connection_) {
      if (SteadyClock::now() >= until) return;
      establish(lock, until);
      if (connection_ && SteadyClock::now() >= until) return;  // nothing is sent after its deadline
    } else {
      if (can_write_something()) write(lock);
      if (has_driven_enough(call) || !connection_) continue;
      if (SteadyClock::now() >= until) return;
      // Nothing more is sent: an exchange that was sent in part is never answered, nor any after it.
      if (!connection_->writing && connection_->closing &&
          (queue_.in_flight() == 0 || !connection_->outgoing.empty())) {
        FinishedExchanges finished;
        lose_connection(detail::failure(Errc::kConnectionLost, false, "closed in favour of a new one"), finished);
        finish(lock, finished);
      } else {
        receive(lock, until);
      }
    }
  }
}

/// Reads what came while there was no driver: replies to posts and abandoned calls, or the end of the connection.
/// The caller must pass the driver's role on afterwards, because another caller may have begun to wait meanwhile.
void Pipeline::read_after_silence(Lock& lock, Time now, bool also_with_replies_due) noexcept {
  if (driver_ != nullptr || !connection_) return;
  if (now - last_read_ <= kIdle && !(also_with_replies_due && queue_.in_flight() > 0)) return;
  const DriverScope role{*this};
  // Reads while the lock is held, because no thread may write to the connection before this.
  Failure failure = connection_->receive(replies_);
  process_replies(lock, now, std::move(failure));
}

void Pipeline::establish(Lock& lock, Time until) {
  const Time now = SteadyClock::now();
  FinishedExchanges finished;
  if (!connector_ && !may_connect(now)) {
    queue_.fail_pending_calls(health_.refusal(), finished);
    return finish(lock, finished);
  }
  if (!connector_)
    connector_ = std::make_unique<Connector>(shared_.endpoint, shared_.login, shared_.tls.get(), handshake_,
                                             shared_.connect_timeout, now);

  auto progress = Connector::Progress::kPending;
  lock.unlock();
  try {
    progress = connector_->advance(until);
  } catch (const std::bad_alloc&) {
    lock.lock();
    connector_.reset();
    throw;
  }
  lock.lock();

  switch (progress) {
    case Connector::Progress::kPending: return;
    case Connector::Progress::kConnected:
      connection_ = connector_->take_connection();
      connected_at_ = last_read_ = last_received_ = SteadyClock::now();
      has_timed_out_.store(false, std::memory_order_relaxed);
      round_trip_.reset();
      connector_.reset();
      preload_scripts();
      count(ClientEvents::kConnects);
      return report(EventKind::kConnected);
    case Connector::Progress::kFailed:
      const Failure failure = detail::copy_of(connector_->failure());
      connector_.reset();
      circuit_changed(health_.open(SteadyClock::now(), failure), failure, finished);
      return finish(lock, finished);
  }
}

/// Adds the scripts before all pending exchanges, to be sent in the same write. When memory is short, scripts are
/// loaded when first called.
void Pipeline::preload_scripts() noexcept {
  try {
    const Time now = SteadyClock::now();
    CommandBatch batch = shared_.scripts->batch(now);
    if (batch.empty()) return;
    const Serial serial = queue_.take_serial(batch);
    RespBuffer bytes;
    append_resp(bytes, batch, serial, ScriptForm::kEval);
    std::shared_ptr<ReplyHandler> handler = shared_.scripts;
    const auto exchange = queue_.add_post(batch, serial, bytes.view(), handler, true);
    if (exchange) (*exchange)->since = now;
  } catch (const std::bad_alloc&) {
  }
}

void Pipeline::receive(Lock& lock, Time until) noexcept {
  const std::shared_ptr<Connection> connection = connection_;
  const bool blocked_on_write = can_write_something();
  const bool under_load = queue_.in_flight() >= kLoad && !round_trip_.is_slow();
  lock.unlock();
  Failure failure;
  const auto has_received = [&] {
    failure = connection->receive(replies_);
    return !replies_.empty() || failure.code;
  };
  // Yields first, because waking a sleeping CPU takes longer.
  if (!under_load || !yield_until(yields_, until, has_received)) {
    failure = connection->wait_and_receive(until, blocked_on_write, replies_);
  }
  const Time after = SteadyClock::now();
  lock.lock();
  if (connection_ != connection) return replies_.clear();  // dropped meanwhile; its exchanges have ended

  process_replies(lock, after, std::move(failure));
}

/// Handles what was read at `now`: replies, and perhaps the end of the connection.
void Pipeline::process_replies(Lock& lock, Time now, Failure failure) noexcept {
  FinishedExchanges finished;
  last_read_ = now;
  if (!replies_.empty()) {
    last_received_ = now;
    has_timed_out_.store(false, std::memory_order_relaxed);
    if (queue_.in_flight() > 0) connection_->has_answered = true;
  }
  for (Reply& reply : replies_) {
    if (reply.is_error() && reply.text().starts_with("READONLY") && now - connected_at_ > kDemotable &&
        !connection_->writing && connection_->outgoing.empty()) {
      connection_->closing = true;
    }
    const auto delivery = queue_.deliver(std::move(reply), finished);
    if (delivery == ExchangeQueue::Delivery::kTaken) continue;
    connection_->is_out_of_memory = delivery == ExchangeQueue::Delivery::kOutOfMemory;
    failure =
        connection_->is_out_of_memory
            ? detail::failure(Errc::kConnectionLost, true, "out of memory")
            : detail::failure(Errc::kProtocol, true, "a reply that answers no request: the connection was out of step");
    break;
  }
  replies_.clear();
  if (!finished.empty()) round_trip_.note(now - finished.last()->sent_at, finished.last()->place);
  const Exchange* const last = finished.last();  // more end when the circuit opens
  for (const Exchange* exchange = finished.first(); exchange != nullptr; exchange = exchange->next_finished) {
    note_outcome(*exchange, finished);
    if (exchange == last) break;
  }
  if (failure.code && connection_) lose_connection(failure, finished);
  finish(lock, finished);
}

/// Updates the health by the replies to a call: an error that any client would get is a failure.
void Pipeline::note_outcome(const Exchange& exchange, FinishedExchanges& finished) noexcept {
  if (!exchange.awaited || !exchange.result.ok()) return;
  if (const auto inability = ServerHealth::inability_in(exchange.result.replies)) {
    circuit_changed(health_.fail(SteadyClock::now(), *inability), *inability, finished);
  } else {
    circuit_changed(health_.succeed(), {}, finished);
  }
}

void Pipeline::circuit_changed(ServerHealth::Change change, const Failure& failure,
                               FinishedExchanges& finished) noexcept {
  switch (change) {
    case ServerHealth::Change::kNone: return;
    case ServerHealth::Change::kClosed: return report(EventKind::kCircuitClosed);
    case ServerHealth::Change::kOpened:
      count(ClientEvents::kCircuitOpened);
      report(EventKind::kCircuitOpened, failure);
      break;
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
void Pipeline::lose_connection(const Failure& failure, FinishedExchanges& finished) noexcept {
  const bool has_answered = connection_->has_answered;
  const bool counts = !connection_->is_out_of_memory && use_ == Use::kCalls;
  const bool amid_calls = queue_.in_flight() > 0;
  drop_connection(failure, finished);
  if (!counts) return;
  if (!has_answered) return circuit_changed(health_.open(SteadyClock::now(), failure), failure, finished);
  if (amid_calls) circuit_changed(health_.fail(SteadyClock::now(), failure), failure, finished);
}

void Pipeline::drop_connection(const Failure& failure, FinishedExchanges& finished) noexcept {
  if (connection_) {
    count(ClientEvents::kDisconnects);
    report(EventKind::kDisconnected, failure);
    connection_->shut_down();  // ends the driver's wait
    connection_.reset();
    queue_.discard_pending(*shared_.scripts);  // the next connection loads them again
    has_timed_out_.store(false, std::memory_order_relaxed);
  }
  Failure in_doubt = detail::copy_of(failure);
  in_doubt.may_have_executed = true;
  queue_.fail_in_flight(in_doubt, finished);
}

void Pipeline::report(EventKind kind, const Failure& failure) noexcept {
  if (is_primary_.load(std::memory_order_relaxed)) shared_.events.report(kind, failure);
}

void Pipeline::count(ClientEvents::Counter counter) noexcept {
  if (is_primary_.load(std::memory_order_relaxed)) shared_.events.count(counter);
}

/// Sends pending exchanges, including those that other threads add meanwhile and that must be sent at once.
void Pipeline::write(Lock& lock) noexcept {
  const std::shared_ptr<Connection> connection = connection_;
  std::string& outgoing = connection->outgoing;
  FinishedExchanges finished;
  connection->writing = true;
  do {
    queue_.take_pending(SteadyClock::now(), outgoing, finished);
    lock.unlock();
    const std::size_t sent = connection->send();
    lock.lock();
    if (connection_ != connection) break;  // the connection was lost meanwhile; its exchanges have ended
    if (sent < outgoing.size()) {
      const std::size_t rest = queue_.put_back(outgoing.size() - sent, finished);
      outgoing.erase(0, sent);
      outgoing.resize(rest);
      break;
    }
    outgoing.clear();
  } while (queue_.has_pending() && (driver_ == nullptr || writes_at_once()));
  connection->writing = false;
  finish(lock, finished);
}

/// Wakes the callers of finished exchanges, and calls the handlers of those that no caller waits for.
void Pipeline::finish(Lock& lock, FinishedExchanges& finished) noexcept {
  if (finished.empty()) return;
  // Collected while the lock is held, because a woken caller may release its exchange. The exchange may then be reused;
  // a spurious signal to it is harmless. Callers beyond the array's size are woken while the lock is held.
  std::array<Exchange*, 256> to_wake;
  std::size_t waking = 0;
  FinishedExchanges detached;
  while (!finished.empty()) {
    Exchange& exchange = finished.pop_front();
    if (!exchange.awaited) {
      detached.push_back(exchange);
      ++handling_;
    } else if (waking < to_wake.size()) {
      to_wake[waking++] = &exchange;
    } else {
      exchange.wake.signal();
    }
  }
  if (can_write_something()) write(lock);  // before waking callers, so that Redis works meanwhile
  lock.unlock();
  for (std::size_t i = 0; i < waking; ++i) to_wake[i]->wake.signal();
  for (Exchange* exchange = detached.first(); exchange != nullptr; exchange = exchange->next_finished) {
    notify(*exchange);
  }
  lock.lock();
  while (!detached.empty()) {
    queue_.release(detached.pop_front().self);
    --handling_;
  }
}

void Pipeline::notify(Exchange& exchange) noexcept {
  // Released here, without the lock: it may own the last reference to an observer, or to more.
  const std::shared_ptr<ReplyHandler> handler = std::move(exchange.handler);
  if (!handler) return;
  ++handlers_entered;
  handler->handle(shared_.client, *exchange.batch, exchange.result);
  --handlers_entered;
}

}  // namespace tollgate::inline v0
