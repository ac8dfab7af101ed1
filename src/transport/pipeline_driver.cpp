#include <array>
#include <new>
#include <utility>

#include "transport/pipeline.hpp"
#include "transport/pipeline_scopes.hpp"
#include "values/failures.hpp"

namespace tollgate::inline v0 {
namespace {

using SteadyClock = std::chrono::steady_clock;

// What each of these is worth: scripts/thresholds <name>.

// With fewer exchanges in flight, each caller sends at once: `write-through`.
constexpr std::size_t kWriteThrough = 2;
// With this many exchanges in flight or more, replies come continuously, and the driver yields before it sleeps:
// `driver-yields`.
constexpr std::size_t kLoad = 4;
// A connection that has received nothing for longer is read before a charge is sent, in case it has been closed:
// `idle-read`.
constexpr std::chrono::microseconds kIdle{500};

// The number of handlers that this thread is executing. The thread may be the driver, so an observer that it called
// could call the limiter and wait for this thread.
thread_local int handlers_entered = 0;

}  // namespace

bool Pipeline::is_in_handler() noexcept { return handlers_entered > 0; }

bool Pipeline::sends_at_once() const noexcept { return machine_.in_flight() < kWriteThrough || round_trip_.is_slow(); }

void Pipeline::step_towards_connection(Lock& lock) {
  const Time now = SteadyClock::now();
  if (connection_ || driver_ != nullptr || !machine_.may_connect(now)) return;
  const DriverScope role{*this};
  establish(lock, now);
  last_read_ = {};  // the replies may have come long ago, and an end of the connection after them
}

/// Whether the driver may stop: a call drives until it is done; drain(), which has no call, until no posts and late
/// replies are left or no connection may be attempted.
bool Pipeline::has_driven_enough(const Exchange* call) const noexcept {
  return call != nullptr ? call->done() : machine_.detached() == 0 || !machine_.may_connect(SteadyClock::now());
}

/// The driver's work, for `call` (null for drain()), and at most until `until`.
void Pipeline::drive(Lock& lock, Time until, const Exchange* call) {
  while (!has_driven_enough(call)) {
    const auto action = machine_.next_action();
    if (action == ConnectionMachine::Action::kSend) {
      write(lock);
      continue;
    }
    if (SteadyClock::now() >= until) return;
    switch (action) {
      case ConnectionMachine::Action::kConnect:
        establish(lock, until);
        if (connection_ && SteadyClock::now() >= until) return;  // nothing is sent after its deadline
        break;
      case ConnectionMachine::Action::kReceive: receive(lock, until); break;
      case ConnectionMachine::Action::kClose: {
        FinishedExchanges finished;
        machine_.close(SteadyClock::now(), finished);
        finish(lock, finished);
        break;
      }
      case ConnectionMachine::Action::kSend:
      case ConnectionMachine::Action::kNone: return;
    }
  }
}

/// Reads what came while there was no driver: replies to posts and abandoned calls, or the end of the connection.
/// The caller must pass the driver's role on afterwards, because another caller may have begun to wait meanwhile.
void Pipeline::read_after_silence(Lock& lock, Time now, bool also_with_replies_due) noexcept {
  if (driver_ != nullptr || !connection_) return;
  if (now - last_read_ <= kIdle && !(also_with_replies_due && machine_.in_flight() > 0)) return;
  const DriverScope role{*this};
  // Reads while the lock is held, because no thread may write to the connection before this.
  process_replies(lock, now, connection_->receive(replies_));
}

void Pipeline::establish(Lock& lock, Time until) {
  const Time now = SteadyClock::now();
  FinishedExchanges finished;
  if (!connector_) {
    if (!machine_.begin_connecting(now, finished)) return finish(lock, finished);
    connector_ = shared_.begin_connecting(handshake_, now);
  }

  auto progress = PendingConnection::Progress::kPending;
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
    case PendingConnection::Progress::kPending: return;
    case PendingConnection::Progress::kConnected:
      connection_ = connector_->take_connection();
      last_read_ = SteadyClock::now();
      round_trip_.reset();
      machine_.connected(last_read_, connection_->has_answered, connector_->login());
      shared_.note_login_due(machine_.login_due());
      connector_.reset();
      count(ClientEvents::kConnects);
      return report(EventKind::kConnected);
    case PendingConnection::Progress::kFailed:
      const Failure failure = detail::copy_of(connector_->failure());
      connector_.reset();
      machine_.connect_failed(failure, SteadyClock::now(), finished);
      return finish(lock, finished);
  }
}

void Pipeline::receive(Lock& lock, Time until) noexcept {
  const std::shared_ptr<Connection> connection = connection_;
  const bool blocked_on_write = machine_.can_send();
  const bool under_load = machine_.in_flight() >= kLoad && !round_trip_.is_slow();
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

  machine_.writable();
  process_replies(lock, after, failure);
}

/// Handles what was read at `now`: replies, and with a code in `end` the end of the connection.
void Pipeline::process_replies(Lock& lock, Time now, const Failure& end) noexcept {
  FinishedExchanges finished;
  last_read_ = now;
  const Exchange* last = machine_.received(replies_, end, connection_->is_out_of_memory, now, finished);
  if (last != nullptr) round_trip_.note(now - last->sent_at, last->place);
  finish(lock, finished);
}

void Pipeline::close_connection(const Failure& why) noexcept {
  count(ClientEvents::kDisconnects);
  report(EventKind::kDisconnected, why);
  connection_->shut_down();  // ends the driver's wait
  connection_.reset();
}

void Pipeline::circuit_opened(const Failure& why) noexcept {
  count(ClientEvents::kCircuitOpened);
  report(EventKind::kCircuitOpened, why);
}

void Pipeline::circuit_closed() noexcept { report(EventKind::kCircuitClosed); }

void Pipeline::login_refused(const Failure& why, Time again_at, bool is_first) noexcept {
  if (is_first) report(EventKind::kCredentialsRefused, why);
  shared_.note_login_due(again_at);
}

void Pipeline::report(EventKind kind, const Failure& failure) noexcept {
  if (!has_ended_ && is_primary_.load(std::memory_order_relaxed)) shared_.events.report(kind, failure);
}

void Pipeline::count(ClientEvents::Counter counter) noexcept {
  if (!has_ended_ && is_primary_.load(std::memory_order_relaxed)) shared_.events.count(counter);
}

/// Sends pending exchanges, including those that other threads add meanwhile and that must be sent at once.
void Pipeline::write(Lock& lock) noexcept {
  const std::shared_ptr<Connection> connection = connection_;
  std::string& outgoing = connection->outgoing;
  FinishedExchanges finished;
  do {
    machine_.begin_sending(SteadyClock::now(), outgoing, finished);
    lock.unlock();
    const std::size_t sent = connection->send();
    lock.lock();
    if (connection_ != connection) break;  // the connection was lost meanwhile; its exchanges have ended
    const std::size_t unsent = outgoing.size() - sent;
    const std::size_t rest = machine_.sent(unsent, connection->closing, finished);
    outgoing.erase(0, sent);
    outgoing.resize(rest);
    if (unsent > 0) break;
  } while (machine_.can_send() && (driver_ == nullptr || sends_at_once()));
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
  if (machine_.can_send()) write(lock);  // before waking callers, so that Redis works meanwhile
  lock.unlock();
  for (std::size_t i = 0; i < waking; ++i) to_wake[i]->wake.signal();
  for (Exchange* exchange = detached.first(); exchange != nullptr; exchange = exchange->next_finished) {
    notify(*exchange);
  }
  lock.lock();
  while (!detached.empty()) {
    machine_.release(detached.pop_front().self);
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
