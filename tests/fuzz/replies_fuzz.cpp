// The algorithms on arbitrary replies: nothing is allowed unless a complete reply shows that it fits, nothing is undone
// that was not charged, and no key of another user is deleted.
#include <chrono>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "decisions/fixed_window.hpp"
#include "decisions/reset_scan.hpp"
#include "fuzz/fuzz.hpp"
#include "tollgate/rate_limit_config.hpp"
#include "values/scripts.hpp"

namespace tollgate::fuzz {
namespace {

using decisions::Answer;
using decisions::FixedWindow;
using decisions::PolicyAnswer;
using decisions::Request;
using decisions::ResetScan;

constexpr std::string_view kUserData = "<user data>";  // in every error reply; must not appear in messages

/// Often one of the numbers at which something changes.
std::int64_t number(Input& input, std::int64_t limit) {
  switch (input.byte() % 8) {
    case 0: return input.byte();
    case 1: return limit + input.byte() % 3 - 1;
    case 2: return -1 - limit - input.byte() % 3;
    case 3: return -input.byte();
    case 4: return std::numeric_limits<std::int64_t>::max() - input.byte() % 2;
    case 5: return std::numeric_limits<std::int64_t>::min() + input.byte() % 2;
    case 6: return kMaxTokens + input.byte() % 2;
    default: return input.integer();
  }
}

Reply make_reply(Input& input, std::int64_t limit, int depth) {
  constexpr std::string_view kErrors[] = {"OOM", "WRONGTYPE", "READONLY", "NOSCRIPT", "LOADING", "NOPERM", "ERR", ""};
  switch (input.byte() % 12) {
    case 0: return Reply{};
    case 1: return Reply::string(std::to_string(number(input, limit)) + (input.byte() % 8 == 1 ? "x" : ""));
    case 2: return Reply::string(input.text());
    case 3: return Reply::status(input.byte() % 2 == 0 ? "OK" : input.text());
    case 4: return Reply::error(std::string{kErrors[input.byte() % 8]} + ' ' + input.text() + std::string{kUserData});
    case 5:
    case 6: {
      std::vector<Reply> elements;
      const int count = input.byte() % 4;
      for (int i = 0; i < count && depth > 0; ++i) elements.push_back(make_reply(input, limit, depth - 1));
      return Reply::array(std::move(elements));
    }
    default: return Reply::integer(number(input, limit));
  }
}

Failure make_failure(Input& input) {
  Failure failure{static_cast<Errc>(1 + input.byte() % static_cast<int>(Errc::kOverflow))};
  failure.may_have_executed = input.byte() % 2 != 0;
  return failure;
}

/// Mostly as many replies as commands, sometimes a failure, or, against the rules, both.
BatchResult make_result(Input& input, std::int64_t limit, std::size_t commands) {
  BatchResult result;
  const int kind = input.byte() % 8;
  if (kind < 2) result.failure = make_failure(input);
  if (kind == 0) return result;
  const std::size_t count = kind == 2 ? input.byte() % 6 : commands;
  for (std::size_t i = 0; i < count; ++i) result.replies.push_back(make_reply(input, limit, 3));
  return result;
}

/// An answer came, one reply per command, and none of them is an error.
bool is_complete(const BatchResult& result, std::size_t commands) {
  for (std::size_t i = 0; i < result.replies.size(); ++i) {
    if (result.replies[i].kind() == Reply::Kind::kError) return false;
  }
  return !result.failure.code && result.replies.size() == commands;
}

std::optional<std::int64_t> first_integer(const BatchResult& result) {
  return result.replies.empty() ? std::nullopt : result.replies[0].to_integer();
}

void check_failure(const Failure& failure) {
  try {
    throw_failure(failure);
  } catch (const Error& error) {
    require(std::string_view{error.what()}.find(kUserData) == std::string_view::npos, "the server's words stay apart");
    require(error.may_have_executed() == failure.may_have_executed, "doubt is kept");
  }
}

/// `allowed`: what the replies say; nothing = no answer can be made of them.
void check_answer(const Answer& answer, const FixedWindow& window, std::optional<bool> allowed) {
  require(static_cast<bool>(answer.failure.code) != allowed.has_value(), "there is an answer or a failure");
  require(answer.decision.allowed == allowed.value_or(false), "allowed when the replies say so, and only then");
  if (answer.failure.code) return check_failure(answer.failure);

  const Decision& decision = answer.decision;
  const auto is_in_window = [](std::chrono::milliseconds time) {
    return time >= std::chrono::milliseconds{1} && time <= std::chrono::minutes{1};
  };
  require(decision.limit == window.limit() && decision.source == Source::kRedis && !decision.failure,
          "a decision of Redis");
  require(decision.remaining && *decision.remaining >= 0 && *decision.remaining <= window.limit(),
          "what remains is 0 … limit");
  require(decision.retry_after.has_value() != decision.allowed, "waiting is for who was denied");
  require(is_in_window(decision.reset_after) && is_in_window(decision.retry_after.value_or(decision.reset_after)),
          "a window ends within a minute");
}

void run_charge(Input& input, const FixedWindow& window, const Request& request) {
  CommandBatch batch;
  window.charge(request, batch);
  const BatchResult result = make_result(input, window.limit(), batch.size());
  const Answer answer = window.read_charge(request, result);
  const bool complete = is_complete(result, batch.size());
  const auto counter = first_integer(result);

  if (window.admission() == Admission::kPipelined) {
    const auto allowed = complete && counter ? std::optional{*counter <= window.limit()} : std::nullopt;
    check_answer(answer, window, allowed);
    require(answer.must_undo == (counter && !answer.decision.allowed), "undone when charged and not allowed");
  } else {
    auto number = counter;
    auto minute = std::optional{decisions::unix_minute(request.now)};
    if (complete && result.replies[0].elements().size() == 2) {
      number = result.replies[0].elements()[0].to_integer();
      minute = result.replies[0].elements()[1].to_integer();
    }
    check_answer(answer, window, complete && number ? std::optional{*number >= 0} : std::nullopt);
    require(!answer.must_undo, "a script's denial leaves nothing to undo");
    require(answer.failure.code || !minute || answer.window.number == *minute,
            "the minute is the one that was charged");
  }

  const PolicyAnswer given = input.byte() % 2 == 0 ? PolicyAnswer::kDenied : PolicyAnswer::kAllowed;
  const CommandBatch correction = FixedWindow::correct_late_charges(batch, result, given);
  if (correction.empty()) return;
  require(correction.size() == 1 && correction[0].key == batch[0].key, "only what was charged is corrected");
  const Command command = correction[0];
  if (command.operation == Operation::kExpire) {
    require(!result.ok() && result.failure.may_have_executed && window.admission() == Admission::kPipelined,
            "an expiry is for a charge whose reply is lost");
    require(command.integers[0] == decisions::kCounterTtl.count(), "the expiry of a counter");
  } else {
    require(result.ok() && given == PolicyAnswer::kDenied && request.operation_id.empty(),
            "a charge is given back when its call was denied and has no operation_id");
    require(counter && *counter >= 0, "a charge is given back when it was made");
    require(command.script == &kAdjustScript && command.keys.size() == 1 && command.integers.size() == 2 &&
                command.integers[0] == -request.tokens && command.integers[1] == decisions::kCounterTtl.count(),
            "what was charged is given back, no more, and the counter gets an expiry where it has none");
  }
}

void run_look(Input& input, const FixedWindow& window, const Request& request) {
  const BatchResult result = make_result(input, window.limit(), 1);
  const Answer answer = window.read_peek(request, result);
  std::optional<bool> allowed;
  if (is_complete(result, 1)) {
    const auto counter = result.replies[0].is_nil() ? 0 : result.replies[0].to_integer();
    // limit - counter instead of counter + tokens: that one may overflow
    if (counter) allowed = *counter <= 0 || window.limit() - *counter >= request.tokens;
  }
  check_answer(answer, window, allowed);
  require(!answer.must_undo, "who looks leaves nothing to undo");
}

void run_adjust(Input& input, const FixedWindow& window, const Request& request) {
  const BatchResult result = make_result(input, window.limit(), 1);
  const Answer answer = window.read_adjust(request, result);
  const auto counter = first_integer(result);
  check_answer(answer, window,
               is_complete(result, 1) && counter ? std::optional{*counter <= window.limit()} : std::nullopt);
  require(!answer.must_undo, "an adjustment is not undone");
}

void run_window(Input& input) {
  const std::int64_t limit = 1 + (input.integer() & (kMaxTokens >> (input.byte() % 53U))) % kMaxTokens;
  const bool atomic = input.byte() % 2 != 0;
  const FixedWindow window{limit, "p", atomic ? Admission::kAtomic : Admission::kPipelined};
  const std::string operation_id = atomic && input.byte() % 2 != 0 ? "operation" : "";
  const std::int64_t tokens = 1 + (input.integer() & kMaxTokens) % limit;
  const std::chrono::milliseconds since_epoch{input.integer() >> 22U};  // 70 years either way, which the clock can hold
  const Request request{"user", tokens, std::chrono::system_clock::time_point{since_epoch}, operation_id};
  while (!input.empty()) {
    switch (input.byte() % 4) {
      case 0: run_look(input, window, request); break;
      case 1: run_adjust(input, window, request); break;
      default: run_charge(input, window, request);
    }
  }
}

/// Written apart from the library's: `<prefix>:<user>:` and a decimal.
bool is_counter_of(std::string_view key, const std::string& prefix, const std::string& user) {
  const std::string start = prefix + ':' + user + ':';
  if (key.substr(0, start.size()) != start) return false;
  key.remove_prefix(start.size());
  if (!key.empty() && key[0] == '-') key.remove_prefix(1);
  return !key.empty() && key.find_first_not_of("0123456789") == std::string_view::npos;
}

Reply make_page(Input& input, const std::string& prefix, const std::string& user) {
  std::vector<Reply> keys;
  for (int count = input.byte() % 100; count > 0 && !input.empty(); --count) {
    const std::string own = prefix + ':' + user + ':';
    switch (input.byte() % 6) {
      case 0: keys.push_back(Reply::string(own + std::to_string(input.integer()))); break;
      case 1: keys.push_back(Reply::string(own + input.text())); break;
      case 2: keys.push_back(Reply::string(own + "1:" + std::to_string(input.byte()))); break;  // of `user:1`
      case 3: keys.push_back(Reply::string(input.text())); break;
      case 4: keys.push_back(make_reply(input, 1, 1)); break;
      default: keys.push_back(Reply::string(own + std::to_string(input.byte())));
    }
  }
  const std::string cursor = input.byte() % 4 == 0 ? "0" : std::to_string(static_cast<std::uint64_t>(input.integer()));
  std::vector<Reply> page;
  page.push_back(Reply::string(cursor));
  page.push_back(Reply::array(std::move(keys)));
  return Reply::array(std::move(page));
}

void run_reset(Input& input) {
  const std::string prefix = input.text();
  const std::string user = "u" + input.text();
  ResetScan scan{prefix, user, {input.integer() >> 8U}};
  bool has_seen_the_end = false;  // of the keyspace
  while (!scan.done() && !input.empty()) {
    const CommandBatch batch = scan.next_batch();
    require(!batch.empty() && batch.size() <= ResetScan::kUnlinksPerBatch, "batches are not empty, and bounded");
    bool scans = false;
    for (std::size_t i = 0; i < batch.size(); ++i) {
      scans = batch[i].operation == Operation::kScan;
      require(scans ? batch.size() == 1
                    : batch[i].operation == Operation::kUnlink && is_counter_of(batch[i].key, prefix, user),
              "only this user's counters are deleted");
    }
    require(!scans || !has_seen_the_end, "the keyspace is scanned to its end, once");

    BatchResult result;
    if (input.byte() % 4 == 0) {
      result = make_result(input, 1, batch.size());
    } else {
      for (std::size_t i = scans ? 1 : 0; i < batch.size(); ++i) result.replies.push_back(Reply::integer(1));
      if (scans) result.replies.push_back(make_page(input, prefix, user));
    }
    const Failure failure = scan.read(result);
    if (failure.code) {
      check_failure(failure);
      require(!scan.done(), "nothing is done after a failure");
      continue;
    }
    require(is_complete(result, batch.size()), "without all replies there is a failure");
    if (!scans) continue;
    const std::vector<Reply>& page = result.replies[batch.size() - 1].elements();
    require(page.size() == 2 && !page[0].text().empty(), "without a page there is a failure");
    has_seen_the_end = page[0].text().find_first_not_of('0') == std::string::npos;
  }
  require(!scan.done() || has_seen_the_end, "a reset is done when all keys were seen");
}

}  // namespace
}  // namespace tollgate::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tollgate::fuzz::Input input{data, size};
  if (input.byte() % 4 == 0) {
    tollgate::fuzz::run_reset(input);
  } else {
    tollgate::fuzz::run_window(input);
  }
  return 0;
}
