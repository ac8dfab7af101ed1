#include "transport/pipeline.hpp"

#include <unistd.h>

#include <algorithm>
#include <thread>
#include <utility>

#include "transport/resp_encoder.hpp"

namespace tollgate::inline v0 {
namespace {

using SteadyClock = std::chrono::steady_clock;

// Below so many exchanges in flight each caller sends at once.
constexpr std::size_t kWriteThrough = 2;
// From so many exchanges in flight on, replies keep coming.
constexpr std::size_t kLoad = 4;
// A network whose round trip, without what Redis needs for what is in flight, is longer than this is slow: nothing
// waits there for the replies to something else.
constexpr std::chrono::microseconds kSlowNetwork{150};
constexpr std::chrono::microseconds kServicePerExchange{5};
// A connection that has been silent for longer is looked at before it is trusted with a charge.
constexpr std::chrono::microseconds kIdle{500};
// A connection this old whose server answers READONLY has been demoted: its name may lead to the new primary by now.
constexpr std::chrono::seconds kDemotable{1};

BatchResult failed(Failure failure) { return {{}, std::move(failure)}; }

/// A batch as RESP, in the room that the thread's last one left. A handler that posts while its caller still holds some
/// takes new room.
class Encoded {
 public:
  Encoded(const CommandBatch& batch, Serial serial) : bytes_(std::move(room_)) {
    bytes_.clear();
    append_resp(bytes_, batch, serial);
  }
  Encoded(const Encoded&) = delete;
  Encoded& operator=(const Encoded&) = delete;
  ~Encoded() { room_ = std::move(bytes_); }

  [[nodiscard]] std::string_view bytes() const noexcept { return bytes_; }

 private:
  static thread_local std::string room_;
  std::string bytes_;
};

thread_local std::string Encoded::room_;

// How many handlers this thread is in. It may be the driver then, for whom a call by an observer would wait in vain.
thread_local int handlers_entered = 0;

}  // namespace

/// Others are about the request (WRONGTYPE, NOPERM) or are answers at full speed that only Redis can give (OOM: it
/// still reads, and keys expire).
Failure Pipeline::inability_in(const Replies& replies) {
  for (std::size_t i = 0; i < replies.size(); ++i) {
    if (!replies[i].is_error()) continue;
    Failure failure = failure_from_error_reply(replies[i].text());
    for (const Errc code : {Errc::kLoading, Errc::kReadOnly, Errc::kAuthRequired, Errc::kBusy}) {
      if (failure.code == code) return failure;
    }
  }
  return {};
}

Pipeline::Pipeline(RedisClient& client, Url url, const ClientOptions& options, Greeting greeting)
    : client_(client),
      url_(std::move(url)),
      options_(options),
      queue_(static_cast<Serial>(std::random_device{}())),
      random_(std::random_device{}()),
      greeting_(greeting),
      events_(options.observer) {}

Pipeline::~Pipeline() { close(); }

void Pipeline::close() {
  Lock lock{mutex_};
  drop_connection({Errc::kConnectionLost, true, "the client was destroyed"}, finished_);
  settle(lock, finished_);
  while (queue_.posted() > 0) {  // also what handlers have posted just now
    queue_.fail_pending_posts({Errc::kConnectionLost, false, "the client was destroyed"}, finished_);
    settle(lock, finished_);
  }
  // Its end is no event: whoever is told of one may call a limiter, and that may be gone.
}

ClientStats Pipeline::stats() const noexcept {
  ClientStats stats;
  stats.failed_at_once = counters_.read(kFailedAtOnce);
  stats.posted = counters_.read(kPosted);
  stats.connects = counters_.read(kConnects);
  stats.disconnects = counters_.read(kDisconnects);
  stats.circuit_opened = counters_.read(kCircuitOpened);
  return stats;
}

void Pipeline::close_in_child() noexcept {
  const int descriptor = descriptor_.load(std::memory_order_relaxed);
  if (descriptor >= 0) ::close(descriptor);
}

bool Pipeline::may_connect(Time now) const noexcept { return connection_ != nullptr || breaker_.may_connect(now); }

bool Pipeline::may_write() const noexcept {
  return connection_ != nullptr && !connection_->writing && !connection_->closing;
}

/// Whole exchanges, or the rest of one that the socket took in part.
bool Pipeline::can_write_something() const noexcept {
  return may_write() && (queue_.has_pending() || !connection_->outgoing.empty());
}

bool Pipeline::writes_at_once() const noexcept {
  return queue_.in_flight() < kWriteThrough || round_trip_ > kSlowNetwork;
}

BatchResult Pipeline::execute(const CommandBatch& batch, Time now, Time until,
                              const std::shared_ptr<ReplyHandler>& late) {
  BatchResult result = carry(batch, now, until, late);
  events_.deliver();
  return result;
}

bool Pipeline::is_connected() {
  Lock lock{mutex_};
  step_towards_connection(lock);
  look_after_silence(lock, SteadyClock::now(), true);
  const bool connected = connection_ != nullptr;
  pass_on(lock);
  return connected;
}

void Pipeline::step_towards_connection(Lock& lock) {
  const Time now = SteadyClock::now();
  if (connection_ || driver_ != nullptr || !may_connect(now)) return;
  const Handle self = queue_.borrow();
  driver_ = &*self;
  try {
    establish(lock, now);
  } catch (...) {
    driver_ = nullptr;
    queue_.release(self);
    throw;
  }
  last_read_ = {};  // what completes it may have come long ago, and an end after it
  driver_ = nullptr;
  queue_.release(self);
}

bool Pipeline::attend(bool redis_answers) {
  Lock lock{mutex_};
  if (queue_.unattended() > 0) step_towards_connection(lock);  // it may be waiting for one
  const Time now = SteadyClock::now();
  look_after_silence(lock, now, true);
  const bool attended = queue_.unattended() == 0;
  const bool overdue = !attended && redis_answers && now > overdue_at_;
  if (attended || !redis_answers) {
    overdue_at_ = Time::max();
  } else {
    overdue_at_ = std::min(overdue_at_, now + options_.command_timeout);
  }
  pass_on(lock);
  if (overdue) give_up_connection("a reply is overdue, though Redis answers others");
  return attended;
}

void Pipeline::note_failure_elsewhere(const Failure& failure, Time since) {
  if (circuit_is_open()) return;  // its own probe tells
  Lock lock{mutex_};
  Handles finished;
  const Time now = SteadyClock::now();
  if (failure.code == Errc::kTimeout) {
    note_timeout(now, since, failure, finished);
  } else {
    circuit_changed(breaker_.fail(now, random()), failure, finished);
  }
  settle(lock, finished);
  pass_on(lock);
  events_.deliver();
}

void Pipeline::give_up_connection(std::string why) {
  Lock lock{mutex_};
  Handles finished;
  const Failure failure{Errc::kConnectionLost, false, std::move(why)};
  drop_connection(failure, finished);
  queue_.fail_pending_calls(failure, finished);
  settle(lock, finished);
  pass_on(lock);
}

BatchResult Pipeline::carry(const CommandBatch& batch, Time now, Time until,
                            const std::shared_ptr<ReplyHandler>& late) {
  if (until <= now) return failed({Errc::kTimeout, false, "the deadline had passed before the call"});
  if (batch.empty()) return {};

  const Serial serial = queue_.take_serial(batch);
  const Encoded encoded{batch, serial};

  Lock lock{mutex_};
  look_after_silence(lock, now, true);
  const auto permission = breaker_.ask(now);
  const auto added = permission == CircuitBreaker::Permission::kRefused
                         ? std::nullopt
                         : queue_.add_call(batch, serial, encoded.bytes(), late);
  if (!added) {
    counters_.add(kFailedAtOnce);
    Failure refusal = refusal_;
    if (permission != CircuitBreaker::Permission::kRefused) {
      refusal = {Errc::kOverloaded, false, "4096 calls or 1 MiB are on their way"};
    }
    if (permission == CircuitBreaker::Permission::kProbe) breaker_.end_probe();
    pass_on(lock);
    return failed(std::move(refusal));
  }
  const Handle exchange = *added;
  exchange->since = now;
  if (permission == CircuitBreaker::Permission::kProbe) probe_ = &*exchange;

  if (driver_ == nullptr) {
    driver_ = &*exchange;
  } else if (may_write() && writes_at_once()) {
    write(lock);
  }

  while (!exchange->done()) {
    if (driver_ == &*exchange) {
      drive(lock, until, [&] { return exchange->done(); });
    } else {
      wait_for_turn(lock, *exchange, until);
    }
    if (exchange->done()) break;
    const Time later = SteadyClock::now();
    if (later < until) continue;

    if (driver_ == &*exchange) driver_ = nullptr;
    Failure timeout{Errc::kTimeout, false, connection_ ? "" : "while connecting to " + url_.to_string()};
    const bool probe = probe_ == &*exchange;
    timeout.may_have_executed = queue_.give_up(exchange);
    Handles finished;
    note_timeout(later, now, timeout, finished);
    if (probe) end_probe();
    settle(lock, finished);
    pass_on(lock);
    return failed(std::move(timeout));
  }

  BatchResult result = std::move(exchange->result);
  if (driver_ == &*exchange) driver_ = nullptr;
  if (probe_ == &*exchange) end_probe();
  queue_.release(exchange);
  pass_on(lock);
  if (late && result.failure.may_have_executed) late->handle(client_, batch, result);
  return result;
}

void Pipeline::post(CommandBatch batch, std::shared_ptr<ReplyHandler> handler) {
  if (batch.empty()) {
    if (handler) handler->handle(client_, batch, {});
    return;
  }
  const Serial serial = queue_.take_serial(batch);
  const Encoded encoded{batch, serial};

  Lock lock{mutex_};
  const Time now = SteadyClock::now();
  look_after_silence(lock, now, false);
  const auto added = queue_.add_post(batch, serial, encoded.bytes(), handler);
  if (added) {
    (*added)->since = now;
    counters_.add(kPosted);
  }
  // Otherwise the driver sends before it receives next, and sees that nothing is left when it leaves.
  if (driver_ != nullptr && may_write() && writes_at_once()) write(lock);
  pass_on(lock);
  if (!added && handler) {
    handler->handle(client_, batch, failed({Errc::kOverloaded, false, "4096 posts are on their way"}));
  }
  if (handlers_entered == 0) events_.deliver();
}

bool Pipeline::drain(Time deadline) {
  Lock lock{mutex_};
  while (queue_.unattended() > 0) {
    const Time now = SteadyClock::now();
    if (now >= deadline) return false;
    if (driver_ == nullptr && may_connect(now)) {
      const Handle self = queue_.borrow();
      driver_ = &*self;
      drive(lock, deadline, [&] { return queue_.unattended() == 0 || !may_connect(SteadyClock::now()); });
      queue_.release(self);
      driver_ = nullptr;
      pass_on(lock);
      lock.lock();
    } else {
      lock.unlock();
      std::this_thread::sleep_for(std::min<SteadyClock::duration>(std::chrono::milliseconds{1}, deadline - now));
      lock.lock();
    }
  }
  return true;
}

/// The driver's work, until `done` or `until`.
template <class Done>
void Pipeline::drive(Lock& lock, Time until, Done done) {
  while (!done()) {
    if (!connection_) {
      if (SteadyClock::now() >= until) return;
      establish(lock, until);
      if (connection_ && SteadyClock::now() >= until) return;  // nothing is sent after its deadline
    } else {
      if (can_write_something()) write(lock);
      if (done() || !connection_) continue;
      if (SteadyClock::now() >= until) return;
      // Nothing more is written: what left in part will never be answered, and then nothing behind it.
      if (!connection_->writing && connection_->closing &&
          (queue_.in_flight() == 0 || !connection_->outgoing.empty())) {
        lose_connection({Errc::kConnectionLost, false, "closed in favour of a new one"}, finished_);
        settle(lock, finished_);
      } else {
        receive(lock, until);
      }
    }
  }
}

/// Reads what came in while nobody drove: replies to what was posted or given up, or the end of the connection.
/// Callers pass the role on afterwards: somebody may have come to wait meanwhile.
void Pipeline::look_after_silence(Lock& lock, Time now, bool also_with_replies_due) {
  if (driver_ != nullptr || !connection_) return;
  if (now - last_read_ <= kIdle && !(also_with_replies_due && queue_.in_flight() > 0)) return;
  const Handle self = queue_.borrow();
  driver_ = &*self;
  // Under the lock, though it reads: nobody may write to the connection before it has been looked at.
  Failure failure = connection_->receive(replies_);
  take_in(lock, now, std::move(failure));
  driver_ = nullptr;
  queue_.release(self);
}

void Pipeline::establish(Lock& lock, Time until) {
  const Time now = SteadyClock::now();
  if (!attempt_ && !may_connect(now)) {
    queue_.fail_pending_calls(refusal_, finished_);
    return settle(lock, finished_);
  }
  if (!attempt_) attempt_ = std::make_unique<ConnectAttempt>(url_, options_, greeting_, now, descriptor_);

  lock.unlock();
  const auto progress = attempt_->advance(until);
  lock.lock();

  switch (progress) {
    case ConnectAttempt::Progress::kPending: return;
    case ConnectAttempt::Progress::kConnected:
      connection_ = attempt_->take_connection();
      connected_at_ = last_read_ = last_heard_ = SteadyClock::now();
      round_trip_ = {};
      attempt_.reset();
      counters_.add(kConnects);
      return report(EventKind::kConnected);
    case ConnectAttempt::Progress::kFailed:
      const Failure failure = attempt_->failure();
      attempt_.reset();
      circuit_changed(breaker_.open(SteadyClock::now(), random()), failure, finished_);
      return settle(lock, finished_);
  }
}

void Pipeline::receive(Lock& lock, Time until) {
  const std::shared_ptr<Connection> connection = connection_;
  const bool blocked_on_write = can_write_something();
  const bool under_load = queue_.in_flight() >= kLoad && round_trip_ <= kSlowNetwork;
  lock.unlock();
  Failure failure;
  const auto has_received = [&] {
    failure = connection->receive(replies_);
    return !replies_.empty() || failure.code;
  };
  // A CPU that sleeps meanwhile would have to be woken.
  if (!under_load || !yield_until(yields_, until, has_received)) {
    failure = connection->wait_and_receive(until, blocked_on_write, replies_);
  }
  const Time after = SteadyClock::now();
  lock.lock();
  if (connection_ != connection) return replies_.clear();  // dropped meanwhile; its exchanges have been told

  take_in(lock, after, std::move(failure));
}

/// What was read at `now`: replies, and perhaps the end of the connection.
void Pipeline::take_in(Lock& lock, Time now, Failure failure) {
  last_read_ = now;
  if (!replies_.empty()) last_heard_ = now;
  if (!replies_.empty() && queue_.in_flight() > 0) {
    connection_->has_answered = true;
  }
  for (Reply& reply : replies_) {
    if (reply.is_error() && reply.text().starts_with("READONLY") && now - connected_at_ > kDemotable &&
        !connection_->writing && connection_->outgoing.empty()) {
      connection_->closing = true;
    }
    if (queue_.deliver(std::move(reply), finished_)) continue;
    failure = {Errc::kProtocol, true, "a reply that answers no request: the connection was out of step"};
    break;
  }
  replies_.clear();
  note_round_trip(now);
  note_outcomes(finished_);
  if (failure.code && connection_) lose_connection(failure, finished_);
  settle(lock, finished_);
}

void Pipeline::note_round_trip(Time now) {
  if (finished_.empty()) return;
  const Exchange& last = *finished_.back();
  const auto service = kServicePerExchange * static_cast<std::int64_t>(last.place);
  const auto sample = std::max<std::chrono::nanoseconds>(now - last.sent_at - service, std::chrono::nanoseconds{0});
  round_trip_ = sample < round_trip_ ? sample : round_trip_ + (sample - round_trip_) / 16;
}

/// What the replies of calls say about Redis: any that it could have given to others too is a failure.
void Pipeline::note_outcomes(Handles& finished) {
  const std::size_t count = finished.size();  // more come when the circuit opens
  for (std::size_t i = 0; i < count; ++i) {
    const Exchange& exchange = *finished[i];
    if (!exchange.waited_for || !exchange.result.ok()) continue;
    const Failure failure = inability_in(exchange.result.replies);
    circuit_changed(failure.code ? breaker_.fail(SteadyClock::now(), random()) : breaker_.succeed(), failure, finished);
  }
}

/// A call timed out at `now`. It counts when Redis had the command timeout to answer this call, or has been silent for
/// as long: a caller in more of a hurry does not close the door for others.
void Pipeline::note_timeout(Time now, Time since, const Failure& failure, Handles& finished) {
  // All of its time went into a connection, which stands now: it is the next call's.
  if (connection_ && connected_at_ > since && !failure.may_have_executed) return;
  const Time silent_since = std::max(last_heard_, queue_.in_flight_since().value_or(now));
  if (now - since < options_.command_timeout && now - silent_since < options_.command_timeout) return;
  circuit_changed(breaker_.fail(now, random()), failure, finished);
}

void Pipeline::end_probe() noexcept {
  probe_ = nullptr;
  breaker_.end_probe();
}

void Pipeline::circuit_changed(CircuitBreaker::Change change, const Failure& failure, Handles& finished) {
  switch (change) {
    case CircuitBreaker::Change::kNone: return;
    case CircuitBreaker::Change::kClosed:
      circuit_is_open_.store(false, std::memory_order_relaxed);
      return report(EventKind::kCircuitClosed);
    case CircuitBreaker::Change::kOpened:
      circuit_is_open_.store(true, std::memory_order_relaxed);
      counters_.add(kCircuitOpened);
      report(EventKind::kCircuitOpened, failure);
      break;
    case CircuitBreaker::Change::kStaysOpen: break;
  }
  refusal_ = failure;
  refusal_.may_have_executed = false;
  refusal_.detail = "the circuit is open" + (failure.detail.empty() ? "" : ": " + failure.detail);
  drop_connection({Errc::kConnectionLost, true, "given up when the circuit opened"}, finished);
  queue_.fail_pending_calls(refusal_, finished);
}

/// One that never answered is no connection; to lose one amid calls is a failure; an idle one is made again, no more
/// said.
void Pipeline::lose_connection(const Failure& failure, Handles& finished) {
  const bool has_answered = connection_->has_answered;
  const bool amid_calls = queue_.in_flight() > 0;
  drop_connection(failure, finished);
  if (!has_answered) return circuit_changed(breaker_.open(SteadyClock::now(), random()), failure, finished);
  if (amid_calls) circuit_changed(breaker_.fail(SteadyClock::now(), random()), failure, finished);
}

void Pipeline::drop_connection(Failure failure, Handles& finished) {
  if (connection_) {
    counters_.add(kDisconnects);
    report(EventKind::kDisconnected, failure);
    descriptor_.store(-1, std::memory_order_relaxed);  // first: once closed, the number is anybody's
    connection_->shut_down();                          // a driver that waits for it need wait no longer
    connection_.reset();
  }
  failure.may_have_executed = true;
  queue_.fail_in_flight(failure, finished);
}

void Pipeline::report(EventKind kind, Failure failure) {
  events_.add({.kind = kind, .subject = url_.to_string(), .failure = std::move(failure)});
}

/// Sends what is pending, and what others append meanwhile while it is to be sent at once.
void Pipeline::write(Lock& lock) {
  const std::shared_ptr<Connection> connection = connection_;
  connection->writing = true;
  do {
    queue_.take_pending(SteadyClock::now(), connection->outgoing);
    lock.unlock();
    const std::size_t sent = connection->send();
    lock.lock();
    if (connection_ != connection) break;  // lost meanwhile; its exchanges have been told
    std::string& outgoing = connection->outgoing;
    if (sent < outgoing.size()) {
      Handles withdrawn;
      const std::size_t rest = queue_.put_back(outgoing.size() - sent, withdrawn);
      outgoing.erase(0, sent);
      outgoing.resize(rest);
      for (const Handle exchange : withdrawn) {
        lock.unlock();
        tell(*exchange);
        lock.lock();
        queue_.release(exchange);
      }
      break;
    }
    outgoing.clear();
  } while (queue_.has_pending() && (driver_ == nullptr || writes_at_once()));
  connection->writing = false;
}

void Pipeline::wait_for_turn(Lock& lock, Exchange& exchange, Time until) {
  lock.unlock();
  if (!exchange.wake.yield(yields_, until)) exchange.wake.wait_until(until);
  lock.lock();
  exchange.wake.reset();
}

/// A caller leaves, and unlocks. If it was the driver, whoever has waited longest drives on; with nobody waiting,
/// nothing pending stays behind.
void Pipeline::pass_on(Lock& lock) {
  if (driver_ != nullptr) return lock.unlock();
  if (const auto next = queue_.oldest_waiter()) {
    driver_ = &**next;
    lock.unlock();  // first: who is woken needs the lock at once
    (*next)->wake.signal();
    return;
  }
  if (can_write_something()) write(lock);
  lock.unlock();
}

/// Wakes the callers of what is finished, and tells the handlers of what nobody waits for.
void Pipeline::settle(Lock& lock, Handles& finished) {
  if (finished.empty()) return;
  // Sorted under the lock: once woken, a caller may release its exchange, and it may be in use again.
  const auto told = std::partition(finished.begin(), finished.end(), [](Handle e) { return e->waited_for; });
  if (can_write_something()) write(lock);  // Redis works while callers are woken
  lock.unlock();
  for (auto exchange = finished.begin(); exchange != told; ++exchange) (*exchange)->wake.signal();
  for (auto exchange = told; exchange != finished.end(); ++exchange) tell(**exchange);
  lock.lock();
  for (auto exchange = told; exchange != finished.end(); ++exchange) queue_.release(*exchange);
  finished.clear();
}

void Pipeline::tell(const Exchange& exchange) {
  if (!exchange.handler) return;
  ++handlers_entered;
  exchange.handler->handle(client_, *exchange.batch, exchange.result);
  --handlers_entered;
}

}  // namespace tollgate::inline v0
