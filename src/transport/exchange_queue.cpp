#include "transport/exchange_queue.hpp"

#include <algorithm>
#include <new>
#include <utility>

#include "values/failures.hpp"

namespace tollgate::inline v0 {
namespace {

bool is_noscript(const Reply& reply) { return reply.is_error() && reply.text().starts_with("NOSCRIPT"); }

bool only_expires(const CommandBatch& batch) {
  for (std::size_t i = 0; i < batch.size(); ++i) {
    if (batch[i].operation != Operation::kExpire) return false;
  }
  return true;
}

/// Whether `bytes` more fit into `out` without, or after, growing it.
bool make_room(std::string& out, std::size_t bytes) noexcept {
  try {
    const std::size_t needed = out.size() + bytes;
    if (needed > out.capacity()) out.reserve(std::max(needed, 2 * out.capacity()));
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  }
}

}  // namespace

ExchangeQueue::Handle ExchangeQueue::take(ExchangeList& idle) {
  if (idle.empty()) {
    idle.emplace_back();
    idle.begin()->self = idle.begin();
  }
  return idle.begin();
}

ExchangeQueue::Handle ExchangeQueue::add(ExchangeList& idle, Serial serial, std::string_view bytes,
                                         std::size_t expected, bool first) {
  const Handle exchange = take(idle);
  exchange->is_login = false;
  exchange->bytes.assign(bytes);
  exchange->result.replies.reserve(expected);
  exchange->counted_bytes = bytes.size();
  pending_.splice(first ? pending_.begin() : pending_.end(), idle, exchange);
  exchange->stage = Exchange::Stage::kPending;
  exchange->serial = serial;
  exchange->expected = expected;
  exchange->retried = false;
  exchange->wake.reset();
  return exchange;
}

std::optional<ExchangeQueue::Handle> ExchangeQueue::add_call(const CommandBatch& batch, Serial serial,
                                                             std::string_view bytes,
                                                             const std::shared_ptr<ReplyHandler>& handler) {
  if (calls_ >= kMaxExchanges || call_bytes_ + bytes.size() > kMaxBytes) return std::nullopt;
  const Handle exchange = add(idle_calls_, serial, bytes, batch.size(), false);
  exchange->awaited = true;
  exchange->posted = false;
  exchange->batch = &batch;
  exchange->handler = handler;
  ++calls_;
  call_bytes_ += bytes.size();
  return exchange;
}

std::optional<ExchangeQueue::Handle> ExchangeQueue::add_post(CommandBatch& batch, Serial serial, std::string_view bytes,
                                                             std::shared_ptr<ReplyHandler>& handler, bool first) {
  const std::size_t factor = only_expires(batch) ? 2 : 1;
  if (posted() >= factor * kMaxExchanges || posted_commands_ + batch.size() > factor * kMaxPostedCommands ||
      posted_bytes_ + bytes.size() > factor * kMaxPostedBytes) {
    return std::nullopt;
  }
  const Handle exchange = add(idle_posts_, serial, bytes, batch.size(), first);
  exchange->awaited = false;
  exchange->posted = true;
  exchange->own_batch = std::move(batch);
  exchange->batch = &exchange->own_batch;
  exchange->handler = std::move(handler);
  posted_commands_ += exchange->own_batch.size();
  posted_bytes_ += bytes.size();
  posted_.fetch_add(1, std::memory_order_relaxed);
  return exchange;
}

void ExchangeQueue::add_login(std::string_view bytes, std::chrono::steady_clock::time_point now) {
  const Handle exchange = add(idle_posts_, 0, bytes, 1, true);
  exchange->awaited = false;
  exchange->posted = true;
  exchange->is_login = true;
  exchange->own_batch = {};
  exchange->batch = &exchange->own_batch;
  exchange->since = now;
  posted_bytes_ += bytes.size();
  posted_.fetch_add(1, std::memory_order_relaxed);
}

bool ExchangeQueue::has_abandoned(std::string_view key) const noexcept {
  return abandoned_ > 0 && has(key, [](const Exchange& exchange) { return !exchange.awaited && !exchange.posted; });
}

bool ExchangeQueue::has_post(std::string_view key) const noexcept {
  return posted() > 0 && has(key, [](const Exchange& exchange) { return exchange.posted; });
}

/// Whether an exchange that is not done, and that `matches`, names `key`.
template <class Matches>
bool ExchangeQueue::has(std::string_view key, Matches matches) const noexcept {
  const auto names_key = [&](const Exchange& exchange) {
    if (!matches(exchange)) return false;
    for (std::size_t i = 0; i < exchange.batch->size(); ++i) {
      if ((*exchange.batch)[i].key == key) return true;
    }
    return false;
  };
  return std::any_of(in_flight_.begin(), in_flight_.end(), names_key) ||
         std::any_of(pending_.begin(), pending_.end(), names_key);
}

void ExchangeQueue::take_pending(std::chrono::steady_clock::time_point now, std::string& out,
                                 FinishedExchanges& finished) noexcept {
  while (!pending_.empty()) {
    const Handle exchange = pending_.begin();
    if (!make_room(out, exchange->bytes.size())) {
      if (!out.empty()) return;  // the bytes in `out` are sent first
      fail(pending_, exchange, {Errc::kOverloaded, false, "out of memory"}, finished);
      continue;
    }
    out += exchange->bytes;
    exchange->stage = Exchange::Stage::kInFlight;
    exchange->sent_at = now;
    exchange->place = in_flight_.size() + 1;
    in_flight_.splice(in_flight_.end(), pending_, exchange);
  }
}

std::size_t ExchangeQueue::put_back(std::size_t unsent, FinishedExchanges& finished) noexcept {
  while (!in_flight_.empty() && unsent >= in_flight_.back().bytes.size() && unsent > 0) {
    const Handle last = std::prev(in_flight_.end());
    unsent -= last->bytes.size();
    if (!last->awaited && !last->posted) {  // abandoned while in flight and now not sent: it is withdrawn
      fail(in_flight_, last, {Errc::kTimeout, false}, finished);
      continue;
    }
    last->stage = Exchange::Stage::kPending;
    pending_.splice(pending_.begin(), in_flight_, last);
  }
  return unsent;
}

bool ExchangeQueue::take_reply(Handle exchange, Reply& reply) {
  Replies& replies = exchange->result.replies;
  if (exchange->is_login) {
    if (!reply.is_error() && reply.kind() != Reply::Kind::kStatus) return false;
    replies.push_back(std::move(reply));
    return true;
  }
  if (exchange->retried) {
    while (exchange->refill < replies.size() && !is_noscript(replies[exchange->refill])) ++exchange->refill;
  }
  const std::size_t place = exchange->retried ? exchange->refill++ : replies.size();
  if (!take_answer((*exchange->batch)[place], serial_of(exchange->serial, place), reply)) return false;
  if (exchange->retried) {
    replies[place] = std::move(reply);
  } else {
    replies.push_back(std::move(reply));
  }
  return true;
}

ExchangeQueue::Delivery ExchangeQueue::deliver(Reply&& reply, FinishedExchanges& finished) noexcept {
  if (in_flight_.empty()) return Delivery::kOutOfStep;
  const Handle front = in_flight_.begin();
  try {
    if (!take_reply(front, reply)) return Delivery::kOutOfStep;
    if (--front->expected > 0 || retry_with_source(front)) return Delivery::kTaken;
  } catch (const std::bad_alloc&) {
    return Delivery::kOutOfMemory;
  }
  finish(in_flight_, front, finished);
  return Delivery::kTaken;
}

/// Whether the reply is NOSCRIPT: Redis has lost the script (by a restart or SCRIPT FLUSH) and has not run it, so it is
/// sent again, once, with its source. Any other error is a final reply.
bool ExchangeQueue::retry_with_source(Handle exchange) {
  if (exchange->retried || exchange->is_login) return false;
  std::size_t missing = 0;
  for (std::size_t i = 0; i < exchange->result.replies.size(); ++i) {
    if (!is_noscript(exchange->result.replies[i])) continue;
    if (missing++ == 0) exchange->bytes.clear();
    append_resp(exchange->bytes, (*exchange->batch)[i], serial_of(exchange->serial, i), ScriptForm::kEval);
  }
  if (missing == 0) return false;
  exchange->retried = true;
  exchange->expected = missing;
  exchange->refill = 0;
  exchange->stage = Exchange::Stage::kPending;
  pending_.splice(pending_.end(), in_flight_, exchange);
  return true;
}

void ExchangeQueue::finish(ExchangeList& from, Handle exchange, FinishedExchanges& finished) noexcept {
  if (exchange->posted) {
    posted_commands_ -= exchange->own_batch.size();
    posted_bytes_ -= exchange->counted_bytes;
    posted_.fetch_sub(1, std::memory_order_relaxed);
  } else {
    --calls_;
    if (!exchange->awaited) --abandoned_;
    call_bytes_ -= exchange->counted_bytes;
  }
  exchange->stage = Exchange::Stage::kDone;
  done_.splice(done_.end(), from, exchange);
  finished.push_back(*exchange);
}

void ExchangeQueue::fail(ExchangeList& from, Handle exchange, const Failure& failure,
                         FinishedExchanges& finished) noexcept {
  exchange->result.replies.clear();
  exchange->result.failure = detail::copy_of(failure);
  // When the scripts of a batch are sent again, its other commands have been executed.
  if (exchange->expected < exchange->batch->size()) exchange->result.failure.may_have_executed = true;
  finish(from, exchange, finished);
}

void ExchangeQueue::fail_in_flight(const Failure& failure, FinishedExchanges& finished) noexcept {
  while (!in_flight_.empty()) fail(in_flight_, in_flight_.begin(), failure, finished);
}

void ExchangeQueue::fail_all(ExchangeList& from, bool posted, const Failure& failure,
                             FinishedExchanges& finished) noexcept {
  for (Handle exchange = from.begin(); exchange != from.end();) {
    const Handle next = std::next(exchange);
    if (exchange->posted == posted) fail(from, exchange, failure, finished);
    exchange = next;
  }
}

void ExchangeQueue::fail_pending_calls(const Failure& failure, FinishedExchanges& finished) noexcept {
  fail_all(pending_, false, failure, finished);
}

void ExchangeQueue::fail_pending_posts(const Failure& failure, FinishedExchanges& finished) noexcept {
  fail_all(pending_, true, failure, finished);
}

void ExchangeQueue::fail_pending(Handle exchange, const Failure& failure, FinishedExchanges& finished) noexcept {
  fail(pending_, exchange, failure, finished);
}

ExchangeQueue::GivenUp ExchangeQueue::give_up(Handle exchange) noexcept {
  const bool untouched = exchange->expected == exchange->batch->size();
  if (exchange->stage == Exchange::Stage::kPending && untouched) {
    FinishedExchanges withdrawn;
    finish(pending_, exchange, withdrawn);
    release(exchange);
    return GivenUp::kWithdrawn;
  }
  try {
    exchange->own_batch = *exchange->batch;
  } catch (const std::bad_alloc&) {
    return GivenUp::kNoMemory;
  }
  exchange->batch = &exchange->own_batch;
  exchange->awaited = false;
  ++abandoned_;
  return GivenUp::kAbandoned;
}

void ExchangeQueue::move_pending_posts_to(ExchangeQueue& other) noexcept {
  for (Handle exchange = pending_.begin(); exchange != pending_.end();) {
    const Handle next = std::next(exchange);
    if (exchange->posted && !exchange->is_login) {
      other.pending_.splice(other.pending_.end(), pending_, exchange);
      posted_commands_ -= exchange->own_batch.size();
      posted_bytes_ -= exchange->counted_bytes;
      posted_.fetch_sub(1, std::memory_order_relaxed);
      other.posted_commands_ += exchange->own_batch.size();
      other.posted_bytes_ += exchange->counted_bytes;
      other.posted_.fetch_add(1, std::memory_order_relaxed);
    }
    exchange = next;
  }
}

void ExchangeQueue::discard_pending(const ReplyHandler& handler) noexcept {
  discard_pending_if([&](const Exchange& exchange) { return exchange.handler.get() == &handler; });
}

void ExchangeQueue::discard_pending_login() noexcept {
  discard_pending_if([](const Exchange& exchange) { return exchange.is_login; });
}

template <class Matches>
void ExchangeQueue::discard_pending_if(Matches matches) noexcept {
  for (Handle exchange = pending_.begin(); exchange != pending_.end();) {
    const Handle next = std::next(exchange);
    if (exchange->posted && matches(*exchange)) {
      FinishedExchanges discarded;
      finish(pending_, exchange, discarded);
      release(exchange);
    }
    exchange = next;
  }
}

std::optional<ExchangeQueue::Handle> ExchangeQueue::oldest_awaited() noexcept {
  for (ExchangeList* list : {&in_flight_, &pending_}) {
    const auto call = std::find_if(list->begin(), list->end(), [](const Exchange& e) { return e.awaited; });
    if (call != list->end()) return call;
  }
  return std::nullopt;
}

void ExchangeQueue::release(Handle exchange) noexcept {
  if (exchange->posted && idle_posts_.size() >= kMaxIdlePosts) {
    done_.erase(exchange);
    return;
  }
  exchange->stage = Exchange::Stage::kFree;
  if (exchange->is_login) std::fill(exchange->bytes.begin(), exchange->bytes.end(), '\0');  // a password
  exchange->handler.reset();
  exchange->batch = nullptr;
  exchange->result.replies.clear();
  exchange->result.failure = {};
  ExchangeList& idle = exchange->posted ? idle_posts_ : idle_calls_;
  idle.splice(idle.begin(), done_, exchange);
}

}  // namespace tollgate::inline v0
