#include "transport/exchange_queue.hpp"

#include <algorithm>
#include <utility>

#include "transport/resp_encoder.hpp"

namespace tollgate::inline v0 {
namespace {

bool is_noscript(const Reply& reply) { return reply.is_error() && reply.text().starts_with("NOSCRIPT"); }

bool only_expires(const CommandBatch& batch) {
  for (std::size_t i = 0; i < batch.size(); ++i) {
    if (batch[i].operation != Operation::kExpire) return false;
  }
  return true;
}

}  // namespace

ExchangeQueue::Handle ExchangeQueue::take(std::list<Exchange>& idle) {
  if (idle.empty()) idle.emplace_back();
  return idle.begin();
}

ExchangeQueue::Handle ExchangeQueue::borrow() {
  const Handle exchange = take(idle_calls_);
  done_.splice(done_.end(), idle_calls_, exchange);
  exchange->stage = Exchange::Stage::kDone;
  exchange->wake.reset();
  return exchange;
}

ExchangeQueue::Handle ExchangeQueue::add(std::list<Exchange>& idle, Serial serial, std::string_view bytes,
                                         std::size_t expected) {
  const Handle exchange = take(idle);
  exchange->bytes.assign(bytes);
  exchange->counted_bytes = bytes.size();
  pending_.splice(pending_.end(), idle, exchange);
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
  const Handle exchange = add(idle_calls_, serial, bytes, batch.size());
  exchange->waited_for = true;
  exchange->posted = false;
  exchange->batch = &batch;
  exchange->handler = handler;
  ++calls_;
  call_bytes_ += bytes.size();
  return exchange;
}

std::optional<ExchangeQueue::Handle> ExchangeQueue::add_post(CommandBatch& batch, Serial serial, std::string_view bytes,
                                                             std::shared_ptr<ReplyHandler>& handler) {
  if (posted() >= (only_expires(batch) ? 2 : 1) * kMaxExchanges) return std::nullopt;
  const Handle exchange = add(idle_posts_, serial, bytes, batch.size());
  exchange->waited_for = false;
  exchange->posted = true;
  exchange->own_batch = std::move(batch);
  exchange->batch = &exchange->own_batch;
  exchange->handler = std::move(handler);
  posted_.fetch_add(1, std::memory_order_relaxed);
  return exchange;
}

bool ExchangeQueue::has_abandoned(std::string_view key) const {
  if (abandoned_ == 0) return false;
  const auto names_key = [key](const Exchange& exchange) {
    if (exchange.waited_for || exchange.posted) return false;
    for (std::size_t i = 0; i < exchange.batch->size(); ++i) {
      if ((*exchange.batch)[i].key == key) return true;
    }
    return false;
  };
  return std::any_of(in_flight_.begin(), in_flight_.end(), names_key) ||
         std::any_of(pending_.begin(), pending_.end(), names_key);
}

void ExchangeQueue::take_pending(std::chrono::steady_clock::time_point now, std::string& out) {
  std::size_t place = in_flight_.size();
  for (Exchange& exchange : pending_) {
    out += exchange.bytes;
    exchange.stage = Exchange::Stage::kInFlight;
    exchange.sent_at = now;
    exchange.place = ++place;
  }
  in_flight_.splice(in_flight_.end(), pending_);
}

std::size_t ExchangeQueue::put_back(std::size_t unsent, std::vector<Handle>& finished) {
  while (!in_flight_.empty() && unsent >= in_flight_.back().bytes.size() && unsent > 0) {
    const Handle last = std::prev(in_flight_.end());
    unsent -= last->bytes.size();
    if (!last->waited_for && !last->posted) {  // given up meanwhile: it is withdrawn after all
      fail(in_flight_, last, {Errc::kTimeout, false, "withdrawn before it was sent"}, finished);
      continue;
    }
    last->stage = Exchange::Stage::kPending;
    pending_.splice(pending_.begin(), in_flight_, last);
  }
  return unsent;
}

bool ExchangeQueue::deliver(Reply reply, std::vector<Handle>& finished) {
  if (in_flight_.empty()) return false;
  const Handle front = in_flight_.begin();
  Replies& replies = front->result.replies;
  if (front->retried) {
    while (front->refill < replies.size() && !is_noscript(replies[front->refill])) ++front->refill;
  }
  const std::size_t place = front->retried ? front->refill++ : replies.size();
  if (!take_answer((*front->batch)[place], serial_of(front->serial, place), reply)) return false;
  if (front->retried) {
    replies[place] = std::move(reply);
  } else {
    replies.push_back(std::move(reply));
  }
  if (--front->expected > 0) return true;
  if (!retry_without_cache(front)) finish(in_flight_, front, finished);
  return true;
}

/// Redis does not know a script (it was restarted, or its cache flushed): it certainly did not run it, so it is sent
/// again, once, as a whole. Any other error is an answer.
bool ExchangeQueue::retry_without_cache(Handle exchange) {
  if (exchange->retried) return false;
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

void ExchangeQueue::finish(std::list<Exchange>& from, Handle exchange, std::vector<Handle>& finished) {
  if (exchange->posted) {
    posted_.fetch_sub(1, std::memory_order_relaxed);
  } else {
    --calls_;
    if (!exchange->waited_for) --abandoned_;
    call_bytes_ -= exchange->counted_bytes;
  }
  exchange->stage = Exchange::Stage::kDone;
  done_.splice(done_.end(), from, exchange);
  finished.push_back(exchange);
}

void ExchangeQueue::fail(std::list<Exchange>& from, Handle exchange, Failure failure, std::vector<Handle>& finished) {
  // Of a batch whose scripts are sent again, the other commands have been executed.
  if (exchange->expected < exchange->batch->size()) failure.may_have_executed = true;
  exchange->result.replies.clear();
  exchange->result.failure = std::move(failure);
  finish(from, exchange, finished);
}

void ExchangeQueue::fail_in_flight(const Failure& failure, std::vector<Handle>& finished) {
  while (!in_flight_.empty()) fail(in_flight_, in_flight_.begin(), failure, finished);
}

void ExchangeQueue::fail_pending_calls(const Failure& failure, std::vector<Handle>& finished) {
  for (Handle exchange = pending_.begin(); exchange != pending_.end();) {
    const Handle next = std::next(exchange);
    if (!exchange->posted) fail(pending_, exchange, failure, finished);
    exchange = next;
  }
}

void ExchangeQueue::fail_pending_posts(const Failure& failure, std::vector<Handle>& finished) {
  for (Handle exchange = pending_.begin(); exchange != pending_.end();) {
    const Handle next = std::next(exchange);
    if (exchange->posted) fail(pending_, exchange, failure, finished);
    exchange = next;
  }
}

bool ExchangeQueue::give_up(Handle exchange) {
  const bool untouched = exchange->expected == exchange->batch->size();
  if (exchange->stage == Exchange::Stage::kPending && untouched) {
    std::vector<Handle> withdrawn;
    finish(pending_, exchange, withdrawn);
    release(exchange);
    return false;
  }
  exchange->own_batch = *exchange->batch;
  exchange->batch = &exchange->own_batch;
  exchange->waited_for = false;
  ++abandoned_;
  return true;
}

std::optional<ExchangeQueue::Handle> ExchangeQueue::oldest_waiter() {
  for (std::list<Exchange>* list : {&in_flight_, &pending_}) {
    const auto waiter = std::find_if(list->begin(), list->end(), [](const Exchange& e) { return e.waited_for; });
    if (waiter != list->end()) return waiter;
  }
  return std::nullopt;
}

void ExchangeQueue::release(Handle exchange) {
  if (exchange->posted && idle_posts_.size() >= kMostIdlePosts) {
    done_.erase(exchange);
    return;
  }
  exchange->stage = Exchange::Stage::kFree;
  exchange->handler.reset();
  exchange->batch = nullptr;
  exchange->result.replies.clear();
  exchange->result.failure = {};
  std::list<Exchange>& idle = exchange->posted ? idle_posts_ : idle_calls_;
  idle.splice(idle.begin(), done_, exchange);
}

}  // namespace tollgate::inline v0
