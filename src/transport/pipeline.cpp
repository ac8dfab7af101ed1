#include "transport/pipeline.hpp"

#include <algorithm>
#include <new>
#include <random>
#include <thread>
#include <utility>

#include "transport/pipeline_scopes.hpp"
#include "transport/resp_encoder.hpp"
#include "values/failures.hpp"

namespace tollgate::inline v0 {
namespace {

using SteadyClock = std::chrono::steady_clock;

BatchResult failed(Failure failure) { return {{}, std::move(failure)}; }

/// `detail` + `subject`, or an empty string when memory is short.
Failure timeout_failure(const char* detail, const std::string& subject) noexcept {
  Failure failure{Errc::kTimeout};
  try {
    failure.detail = detail + subject;
  } catch (const std::bad_alloc&) {  // the error code is sufficient
  }
  return failure;
}

}  // namespace

Pipeline::Pipeline(Shared& shared, Handshake handshake, Use use)
    : shared_(shared),
      handshake_(handshake),
      use_(use),
      queue_(static_cast<Serial>(std::random_device{}())),
      health_(shared.command_timeout, std::random_device{}()) {}

Pipeline::~Pipeline() { close(); }

/// The end of a client is not reported, because the observer might call a limiter that has been destroyed.
void Pipeline::close() noexcept {
  Lock lock{mutex_};
  set_primary(false);
  FinishedExchanges finished;
  drop_connection(detail::failure(Errc::kConnectionLost, true, "client ended"), finished);
  finish(lock, finished);
  while (queue_.detached() > 0) {
    queue_.fail_pending_calls(detail::failure(Errc::kConnectionLost, false, "client ended"),
                              finished);  // handlers may post, too
    queue_.fail_pending_posts(detail::failure(Errc::kConnectionLost, false, "client ended"), finished);
    finish(lock, finished);
  }
}

BatchResult Pipeline::execute(const CommandBatch& batch, Time now, Time until,
                              const std::shared_ptr<ReplyHandler>& late) {
  bool late_follows = false;
  BatchResult result = run_call(batch, now, until, late, late_follows);
  if (late && result.failure.may_have_executed && !late_follows) late->handle(shared_.client, batch, result);
  shared_.events.deliver();
  return result;
}

/// `late_follows`: the exchange is still in flight, and `late` will be called when it ends.
BatchResult Pipeline::run_call(const CommandBatch& batch, Time now, Time until,
                               const std::shared_ptr<ReplyHandler>& late, bool& late_follows) {
  if (until <= now) return failed(detail::failure(Errc::kTimeout, false, "the deadline had passed before the call"));
  if (batch.empty()) return {};

  const Serial serial = queue_.take_serial(batch);
  RespBuffer bytes;
  append_resp(bytes, batch, serial);

  Lock lock{mutex_};
  CallScope call{*this, lock};
  read_after_silence(lock, now, true);
  if (connection_ && shared_.scripts->is_retry_due(now)) preload_scripts();
  const auto permission = health_.ask(now);
  if (permission == ServerHealth::Permission::kRefused) {
    shared_.events.count(ClientEvents::kFailedAtOnce);
    return failed(health_.refusal());
  }
  std::optional<Handle> added;
  try {
    added = queue_.add_call(batch, serial, bytes.view(), late);
  } catch (const std::bad_alloc&) {
    if (permission == ServerHealth::Permission::kProbe) health_.end_probe();
    throw;
  }
  if (!added) {
    if (permission == ServerHealth::Permission::kProbe) health_.end_probe();
    shared_.events.count(ClientEvents::kFailedAtOnce);
    return failed(detail::failure(Errc::kOverloaded, false, "4096 calls or 1 MiB are on their way"));
  }
  const Handle exchange = *added;
  call.hold(exchange);
  exchange->since = now;
  if (permission == ServerHealth::Permission::kProbe) probe_ = &*exchange;

  if (driver_ == nullptr) {
    driver_ = &*exchange;
  } else if (may_write() && writes_at_once()) {
    write(lock);
  }

  while (!exchange->done()) {
    if (driver_ == &*exchange) {
      drive(lock, until, &*exchange);
    } else {
      wait_for_turn(lock, *exchange, until);
    }
    if (exchange->done()) break;
    const Time later = SteadyClock::now();
    if (later >= until) return time_out(lock, call, later, now, late_follows);
  }
  return std::move(exchange->result);
}

BatchResult Pipeline::time_out(Lock& lock, CallScope& call, Time now, Time since, bool& late_follows) noexcept {
  const Handle exchange = call.exchange();
  if (driver_ == &*exchange) driver_ = nullptr;
  const bool was_probe = probe_ == &*exchange;
  FinishedExchanges finished;
  Failure timeout =
      connection_ ? Failure{Errc::kTimeout} : timeout_failure("while connecting to ", shared_.events.subject());
  BatchResult result;
  switch (queue_.give_up(exchange)) {
    case ExchangeQueue::GivenUp::kWithdrawn: call.release(); break;
    case ExchangeQueue::GivenUp::kAbandoned:
      call.release();
      timeout.may_have_executed = late_follows = true;
      break;
    case ExchangeQueue::GivenUp::kNoMemory:  // its batch belongs to the caller, which returns, so it must end now
      timeout.may_have_executed = true;
      if (exchange->stage == Exchange::Stage::kInFlight) drop_connection(timeout, finished);
      if (!exchange->done()) queue_.fail_pending(exchange, timeout, finished);
      break;
  }
  result.failure = std::move(timeout);
  note_timeout(now, since, result.failure, finished);
  if (was_probe) end_probe();
  finish(lock, finished);
  return result;
}

/// Ends a call, also by an exception: gives up its exchange when that is not done, and its roles.
void Pipeline::leave(Lock& lock, Handle exchange) noexcept {
  if (driver_ == &*exchange) driver_ = nullptr;
  if (probe_ == &*exchange) end_probe();
  if (exchange->done()) return queue_.release(exchange);
  FinishedExchanges finished;
  if (queue_.give_up(exchange) != ExchangeQueue::GivenUp::kNoMemory) return;
  const Failure failure = detail::failure(Errc::kConnectionLost, true, "out of memory");
  if (exchange->stage == Exchange::Stage::kInFlight) drop_connection(failure, finished);
  if (!exchange->done()) queue_.fail_pending(exchange, failure, finished);
  finish(lock, finished);
  queue_.release(exchange);
}

void Pipeline::post(CommandBatch batch, std::shared_ptr<ReplyHandler> handler) {
  if (batch.empty()) {
    if (handler) handler->handle(shared_.client, batch, {});
    return;
  }
  const Serial serial = queue_.take_serial(batch);
  RespBuffer bytes;
  append_resp(bytes, batch, serial, ScriptForm::kEval);

  bool added = false;
  {
    Lock lock{mutex_};
    const CallScope scope{*this, lock};
    const Time now = SteadyClock::now();
    read_after_silence(lock, now, false);
    if (const auto exchange = queue_.add_post(batch, serial, bytes.view(), handler)) {
      added = true;
      (*exchange)->since = now;
      shared_.events.count(ClientEvents::kPosted);
    }
    // Otherwise the driver sends these bytes before it receives next, or when it gives up its role.
    if (driver_ != nullptr && may_write() && writes_at_once()) write(lock);
  }
  if (!added && handler) {
    handler->handle(shared_.client, batch,
                    failed(detail::failure(Errc::kOverloaded, false, "too many posts are on their way")));
  }
  if (!is_in_handler()) shared_.events.deliver();
}

bool Pipeline::drain(Time deadline) {
  Lock lock{mutex_};
  while (queue_.detached() + handling_ > 0) {
    const Time now = SteadyClock::now();
    if (now >= deadline) return false;
    if (queue_.detached() > 0 && driver_ == nullptr && may_connect(now)) {
      try {
        const DriverScope role{*this};
        drive(lock, deadline, nullptr);
      } catch (const std::bad_alloc&) {  // tried again until the deadline
      }
      pass_on_driver_role(lock);
      lock.lock();
    } else {
      lock.unlock();
      std::this_thread::sleep_for(std::min<SteadyClock::duration>(std::chrono::milliseconds{1}, deadline - now));
      lock.lock();
    }
  }
  return true;
}

bool Pipeline::is_connected() {
  Lock lock{mutex_};
  const CallScope scope{*this, lock};
  step_towards_connection(lock);
  read_after_silence(lock, SteadyClock::now(), true);
  return connection_ != nullptr;
}

bool Pipeline::wait_for_connection(Time until) {
  Lock lock{mutex_};
  const CallScope scope{*this, lock};
  while (!connection_) {
    const Time now = SteadyClock::now();
    if (now >= until || !may_connect(now)) return false;
    if (driver_ == nullptr) {
      const DriverScope role{*this};
      establish(lock, until);
    } else {
      lock.unlock();
      std::this_thread::sleep_for(std::min<SteadyClock::duration>(std::chrono::milliseconds{1}, until - now));
      lock.lock();
    }
  }
  return true;
}

bool Pipeline::collect_late_replies(Server server) {
  bool collected = false;
  bool is_overdue = false;
  {
    Lock lock{mutex_};
    const CallScope scope{*this, lock};
    if (queue_.detached() > 0) step_towards_connection(lock);  // posts may be waiting for one
    const Time now = SteadyClock::now();
    read_after_silence(lock, now, true);
    collected = queue_.detached() == 0;
    is_overdue = !collected && server == Server::kAnswers && now > overdue_at_;
    if (collected || server == Server::kFails) {
      overdue_at_ = Time::max();
    } else if (server == Server::kAnswers) {
      overdue_at_ = std::min(overdue_at_, now + shared_.command_timeout);
    }
  }
  if (is_overdue) give_up_connection("a reply is overdue, though Redis answers other connections");
  return collected;
}

bool Pipeline::is_silent() {
  if (!has_timed_out_.load(std::memory_order_relaxed)) return false;
  Lock lock{mutex_};
  const CallScope scope{*this, lock};
  const Time now = SteadyClock::now();
  read_after_silence(lock, now, true);
  if (!connection_ || queue_.abandoned() == 0) return false;
  const Time silent_since = std::max(last_received_, queue_.in_flight_since().value_or(now));
  return now - silent_since >= shared_.command_timeout;
}

void Pipeline::give_up_connection(const char* why) noexcept {
  Lock lock{mutex_};
  const CallScope scope{*this, lock};
  FinishedExchanges finished;
  const Failure failure = detail::failure(Errc::kConnectionLost, false, why);
  drop_connection(failure, finished);
  queue_.fail_pending_calls(failure, finished);
  finish(lock, finished);
}

void Pipeline::move_pending_posts_to(Pipeline& other) {
  for (;;) {
    std::optional<ExchangeQueue::Post> post;
    {
      const Lock lock{mutex_};
      post = queue_.take_pending_post();
    }
    if (!post) return;
    other.post(std::move(post->batch), std::move(post->handler));
  }
}

void Pipeline::note_failure_elsewhere(const Failure& failure, Time since) {
  if (circuit_is_open()) return;  // only the connection's own probe closes the circuit
  {
    Lock lock{mutex_};
    const CallScope scope{*this, lock};
    FinishedExchanges finished;
    const Time now = SteadyClock::now();
    if (failure.code == Errc::kTimeout) {
      note_timeout(now, since, failure, finished);
    } else {
      circuit_changed(health_.fail(now, failure), failure, finished);
    }
    finish(lock, finished);
  }
  shared_.events.deliver();
}

void Pipeline::note_timeout(Time now, Time since, const Failure& failure, FinishedExchanges& finished) noexcept {
  if (failure.may_have_executed) has_timed_out_.store(true, std::memory_order_relaxed);
  // The whole time of the call was used to connect; the connection is established, and the next call uses it.
  if (connection_ && connected_at_ > since && !failure.may_have_executed) return;
  const Time silent_since = std::max(last_received_, queue_.in_flight_since().value_or(now));
  if (!health_.counts_as_failure(now, since, silent_since)) return;
  circuit_changed(health_.fail(now, failure), failure, finished);
}

void Pipeline::end_probe() noexcept {
  probe_ = nullptr;
  health_.end_probe();
}

void Pipeline::wait_for_turn(Lock& lock, Exchange& exchange, Time until) {
  lock.unlock();
  if (!exchange.wake.yield(yields_, until)) exchange.wake.wait_until(until);
  lock.lock();
  exchange.wake.reset();
}

/// Called when a caller leaves; unlocks. When there is no driver, the caller that has waited longest becomes the
/// driver; when no caller waits, pending exchanges are sent.
void Pipeline::pass_on_driver_role(Lock& lock) noexcept {
  if (driver_ != nullptr) return lock.unlock();
  if (const auto next = queue_.oldest_awaited()) {
    driver_ = &**next;
    Exchange& exchange = **next;
    lock.unlock();  // before the signal, because the woken thread locks the mutex at once
    exchange.wake.signal();
    return;
  }
  if (can_write_something()) write(lock);
  lock.unlock();
}

}  // namespace tollgate::inline v0
