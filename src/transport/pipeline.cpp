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
      machine_(*this, shared.command_timeout, shared.scripts, use, std::random_device{}()) {}

/// The end of a client is not reported, because the observer might call a limiter that has been destroyed.
void Pipeline::close() noexcept {
  Lock lock{mutex_};
  has_ended_ = true;
  do {  // handlers may post, too
    FinishedExchanges finished;
    machine_.end(finished);
    finish(lock, finished);
  } while (machine_.detached() > 0);
}

BatchResult Pipeline::execute(const CommandBatch& batch, Time now, Time until,
                              const std::shared_ptr<ReplyHandler>& late, bool* is_replaced) {
  bool late_follows = false;
  BatchResult result = run_call(batch, now, until, late, late_follows, is_replaced);
  if (late && result.failure.may_have_executed && !late_follows) late->handle(shared_.client, batch, result);
  shared_.events.deliver();
  return result;
}

/// `late_follows`: the exchange is still in flight, and `late` will be called when it ends.
BatchResult Pipeline::run_call(const CommandBatch& batch, Time now, Time until,
                               const std::shared_ptr<ReplyHandler>& late, bool& late_follows, bool* is_replaced) {
  if (until <= now) return failed(detail::failure(Errc::kTimeout, false, "the deadline had passed before the call"));
  if (batch.empty()) return {};

  const Serial serial = machine_.take_serial(batch);
  RespBuffer bytes;
  append_resp(bytes, batch, serial);

  Lock lock{mutex_};
  CallScope call{*this, lock};
  if (is_replaced != nullptr && !is_primary_.load(std::memory_order_relaxed)) {
    *is_replaced = true;
    return {};
  }
  read_after_silence(lock, now, true);
  Failure refusal;
  const auto added = machine_.add_call(batch, serial, bytes.view(), late, now, refusal);
  if (!added) {
    shared_.events.count(ClientEvents::kFailedAtOnce);
    return failed(std::move(refusal));
  }
  const Handle exchange = *added;
  call.hold(exchange);

  if (driver_ == nullptr) {
    driver_ = &*exchange;
  } else if (machine_.may_send() && sends_at_once()) {
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
    if (later >= until) return time_out(lock, call, later, late_follows);
  }
  return std::move(exchange->result);
}

BatchResult Pipeline::time_out(Lock& lock, CallScope& call, Time now, bool& late_follows) noexcept {
  const Handle exchange = call.exchange();
  if (driver_ == &*exchange) driver_ = nullptr;
  FinishedExchanges finished;
  BatchResult result{{},
                     machine_.is_connected() ? Failure{Errc::kTimeout}
                                             : timeout_failure("while connecting to ", shared_.events.subject())};
  const auto given_up = machine_.time_out(exchange, now, result.failure, finished);
  if (given_up != ExchangeQueue::GivenUp::kNoMemory) call.release();
  late_follows = given_up == ExchangeQueue::GivenUp::kAbandoned;
  finish(lock, finished);
  return result;
}

/// Ends a call, also by an exception: gives up its exchange when that is not done, and its roles.
void Pipeline::leave(Lock& lock, Handle exchange) noexcept {
  if (driver_ == &*exchange) driver_ = nullptr;
  if (!exchange->done()) {
    FinishedExchanges finished;
    if (machine_.cancel(exchange, finished) != ExchangeQueue::GivenUp::kNoMemory) return;
    finish(lock, finished);
  }
  machine_.release(exchange);
}

bool Pipeline::add_post(CommandBatch& batch, std::shared_ptr<ReplyHandler>& handler, bool only_on_primary) {
  if (batch.empty()) {
    if (handler) handler->handle(shared_.client, batch, {});
    return true;
  }
  const Serial serial = machine_.take_serial(batch);
  RespBuffer bytes;
  append_resp(bytes, batch, serial, ScriptForm::kEval);

  bool added = false;
  {
    Lock lock{mutex_};
    const CallScope scope{*this, lock};
    if (only_on_primary && !is_primary_.load(std::memory_order_relaxed)) return false;
    const Time now = SteadyClock::now();
    read_after_silence(lock, now, false);
    added = machine_.add_post(batch, serial, bytes.view(), handler, now);
    if (added) shared_.events.count(ClientEvents::kPosted);
    // Otherwise the driver sends these bytes before it receives next, or when it gives up its role.
    if (driver_ != nullptr && machine_.may_send() && sends_at_once()) write(lock);
  }
  if (!added && handler) {
    handler->handle(shared_.client, batch,
                    failed(detail::failure(Errc::kOverloaded, false, "too many posts are on their way")));
  }
  if (!is_in_handler()) shared_.events.deliver();
  return true;
}

bool Pipeline::drain(Time deadline) {
  Lock lock{mutex_};
  while (machine_.detached() + handling_ > 0) {
    const Time now = SteadyClock::now();
    if (now >= deadline) return false;
    if (machine_.detached() > 0 && driver_ == nullptr && machine_.may_connect(now)) {
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
    if (now >= until || !machine_.may_connect(now)) return false;
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
  bool are_overdue = false;
  {
    Lock lock{mutex_};
    const CallScope scope{*this, lock};
    if (machine_.detached() > 0) step_towards_connection(lock);  // posts may be waiting for one
    const Time now = SteadyClock::now();
    read_after_silence(lock, now, true);
    collected = machine_.detached() == 0;
    are_overdue = machine_.are_late_replies_overdue(server, now);
  }
  if (are_overdue) give_up_connection("a reply is overdue, though Redis answers other connections");
  return collected;
}

bool Pipeline::is_silent() {
  if (!machine_.has_timed_out()) return false;
  Lock lock{mutex_};
  const CallScope scope{*this, lock};
  const Time now = SteadyClock::now();
  read_after_silence(lock, now, true);
  return machine_.is_silent(now);
}

void Pipeline::renew_login() noexcept {
  const Time asked_at = SteadyClock::now();
  {
    const Lock lock{mutex_};
    if (!machine_.begin_login_renewal(asked_at)) return shared_.note_login_due(machine_.login_due());
  }
  std::optional<Credentials> credentials;
  try {
    credentials = shared_.login.credentials();
  } catch (...) {  // the exception's text may contain a secret, so it is dropped
  }
  Lock lock{mutex_};
  const CallScope scope{*this, lock};
  Failure why = detail::failure(Errc::kAuthFailed, false, "the credentials callback threw");
  if (credentials) {
    try {
      machine_.renew_login(*credentials, asked_at);
    } catch (const std::bad_alloc&) {
      credentials.reset();
      why = detail::failure(Errc::kAuthFailed, false, "out of memory");
    }
  }
  if (!credentials) machine_.login_not_renewed(why, asked_at);
  shared_.note_login_due(machine_.login_due());
  if (driver_ != nullptr && machine_.may_send() && sends_at_once()) write(lock);
}

void Pipeline::give_up_connection(const char* why) noexcept {
  Lock lock{mutex_};
  const CallScope scope{*this, lock};
  FinishedExchanges finished;
  machine_.give_up_connection(detail::failure(Errc::kConnectionLost, false, why), finished);
  finish(lock, finished);
}

void Pipeline::refuse_unsent_posts(const char* why) noexcept {
  Lock lock{mutex_};
  const CallScope scope{*this, lock};
  FinishedExchanges finished;
  machine_.refuse_unsent_posts(detail::failure(Errc::kMoved, false, why), finished);
  finish(lock, finished);
}

bool Pipeline::hand_over_to(Pipeline& other, const std::function<bool()>& switch_primary) {
  {
    const std::scoped_lock both{mutex_, other.mutex_};
    if (!switch_primary()) return false;
    set_primary(false);
    other.set_primary(true);
    machine_.move_pending_posts_to(other.machine_);
  }
  other.send_pending();
  return true;
}

void Pipeline::move_pending_posts_to(Pipeline& other) {
  {
    const std::scoped_lock both{mutex_, other.mutex_};
    machine_.move_pending_posts_to(other.machine_);
  }
  other.send_pending();
}

void Pipeline::send_pending() noexcept {
  Lock lock{mutex_};
  pass_on_driver_role(lock);  // a driver sends them
}

bool Pipeline::has_post_on(const CommandBatch& batch) {
  if (!has_posts_under_way()) return false;
  const Lock lock{mutex_};
  for (std::size_t i = 0; i < batch.size(); ++i) {
    if (machine_.has_post(batch[i].key)) return true;
  }
  return false;
}

void Pipeline::note_failure_elsewhere(const Failure& failure, Time since) {
  if (circuit_is_open()) return;  // it would have no effect
  {
    Lock lock{mutex_};
    const CallScope scope{*this, lock};
    FinishedExchanges finished;
    machine_.failed_elsewhere(failure, SteadyClock::now(), since, finished);
    finish(lock, finished);
  }
  shared_.events.deliver();
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
  if (const auto next = machine_.oldest_awaited()) {
    driver_ = &**next;
    Exchange& exchange = **next;
    lock.unlock();  // before the signal, because the woken thread locks the mutex at once
    exchange.wake.signal();
    return;
  }
  if (machine_.can_send()) write(lock);
  lock.unlock();
}

}  // namespace tollgate::inline v0
