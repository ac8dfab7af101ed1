#include "doors/header_dialects.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <tuple>
#include <utility>

#include "doors/digests.hpp"
#include "values/structured_field.hpp"

namespace tollgate::inline v0 {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

std::int64_t whole_seconds(milliseconds duration) { return std::chrono::ceil<seconds>(duration).count(); }

/// The first 128 bits of the HMAC: enough that no two subjects of a service share them.
std::string partition_key(std::string_view subject, std::string_view secret) {
  return structured_bytes(first_bytes(hmac_sha256(secret, subject), 16));
}

/// A List, in which an item is not repeated: two charges of one limit and subject are one policy.
class StructuredList {
 public:
  void add(std::string item) {
    if (std::find(items_.begin(), items_.end(), item) == items_.end()) items_.push_back(std::move(item));
  }
  [[nodiscard]] std::string text() const { return fmt::format("{}", fmt::join(items_, ", ")); }

 private:
  std::vector<std::string> items_;
};

void add_retry_after(std::vector<HttpHeader>& headers, const DecisionView& decision) {
  if (decision.retry_after) headers.push_back({"retry-after", std::to_string(whole_seconds(*decision.retry_after))});
}

/// Without a remainder, 0 means that the reset is unknown too.
bool has_reset(const LimitView& limit) { return limit.remaining || limit.reset_after > milliseconds{0}; }

/// The most restrictive limit of that unit, which these dialects show: one that refuses, then the one with least left.
const LimitView* most_restrictive(const DecisionView& decision, LimitUnit unit) {
  const LimitView* found = nullptr;
  const auto rank = [](const LimitView& limit) {
    return std::tuple(!limit.refuses, limit.remaining.value_or(std::numeric_limits<std::int64_t>::max()));
  };
  for (const LimitView& limit : decision.limits) {
    if (limit.unit == unit && (!found || rank(limit) < rank(*found))) found = &limit;
  }
  return found;
}

/// Calls `add(limit, "requests" or "tokens")` for each unit that has a limit.
template <class Add>
void for_each_unit(const DecisionView& decision, Add add) {
  if (const LimitView* limit = most_restrictive(decision, LimitUnit::kRequests)) add(*limit, "requests");
  if (const LimitView* limit = most_restrictive(decision, LimitUnit::kTokens)) add(*limit, "tokens");
}

/// As OpenAI writes durations: "250ms", "1.5s", "6m0s", "1h0m30s".
std::string spelled_duration(milliseconds duration) {
  const std::int64_t count = duration.count();
  if (count > 0 && count < 1000) return fmt::format("{}ms", count);
  std::string text;
  if (count >= 3'600'000) text += fmt::format("{}h", count / 3'600'000);
  if (count >= 60'000) text += fmt::format("{}m", count / 60'000 % 60);
  text += std::to_string(count / 1000 % 60);
  if (count % 1000 != 0) {
    text += fmt::format(".{:03}", count % 1000);
    text.erase(text.find_last_not_of('0') + 1);
  }
  return text + 's';
}

/// Rounded up, because a client that returns within the second before is denied again.
std::string rfc3339(std::chrono::system_clock::time_point time) {
  const auto second = std::chrono::ceil<seconds>(time);
  const auto day = std::chrono::floor<std::chrono::days>(second);
  const std::chrono::year_month_day date{day};
  const std::chrono::hh_mm_ss clock{second - day};
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), clock.hours().count(),
                     clock.minutes().count(), clock.seconds().count());
}

HttpProblem problem(int status, std::string_view type, std::string_view title, std::string_view violated) {
  return {status, fmt::format(R"({{"type":"https://iana.org/assignments/http-problem-types#{}","title":"{}",)"
                              R"("status":{},"violated-policies":[{}]}})",
                              type, title, status, violated)};
}

}  // namespace

std::vector<HttpHeader> ietf_headers(const DecisionView& decision, std::string_view partition_secret) {
  StructuredList policies;
  StructuredList states;
  for (const LimitView& limit : decision.limits) {
    const std::string name = structured_string(limit.name);
    const bool is_concurrent = limit.unit == LimitUnit::kConcurrentRequests;
    const std::string_view unit = is_concurrent ? R"(;qu="concurrent-requests")" : "";
    const std::string window =
        limit.window ? fmt::format(";w={}", structured_integer(limit.window->count())) : std::string{};
    const bool has_key = !partition_secret.empty() && !limit.subject.empty();
    const std::string key =
        has_key ? fmt::format(";pk={}", partition_key(limit.subject, partition_secret)) : std::string{};
    policies.add(fmt::format("{};q={}{}{}{}", name, structured_integer(limit.max), unit, window, key));
    if (!limit.remaining) continue;  // `r` is required
    const milliseconds until = limit.usable_after.value_or(limit.reset_after);
    states.add(fmt::format("{};r={};t={}{}", name, structured_integer(*limit.remaining),
                           structured_integer(whole_seconds(until)), key));
  }
  std::vector<HttpHeader> headers;
  if (std::string text = policies.text(); !text.empty()) headers.push_back({"ratelimit-policy", std::move(text)});
  if (std::string text = states.text(); !text.empty()) headers.push_back({"ratelimit", std::move(text)});
  add_retry_after(headers, decision);
  return headers;
}

std::vector<HttpHeader> openai_headers(const DecisionView& decision) {
  std::vector<HttpHeader> headers;
  for_each_unit(decision, [&](const LimitView& limit, std::string_view unit) {
    headers.push_back({fmt::format("x-ratelimit-limit-{}", unit), std::to_string(limit.max)});
    if (limit.remaining) {
      headers.push_back({fmt::format("x-ratelimit-remaining-{}", unit), std::to_string(*limit.remaining)});
    }
    if (has_reset(limit)) {
      headers.push_back({fmt::format("x-ratelimit-reset-{}", unit), spelled_duration(limit.reset_after)});
    }
  });
  add_retry_after(headers, decision);
  if (decision.retry_after) headers.push_back({"retry-after-ms", std::to_string(decision.retry_after->count())});
  if (decision.never_fits) headers.push_back({"x-should-retry", "false"});
  return headers;
}

std::vector<HttpHeader> anthropic_headers(const DecisionView& decision, std::chrono::system_clock::time_point now) {
  std::vector<HttpHeader> headers;
  for_each_unit(decision, [&](const LimitView& limit, std::string_view unit) {
    headers.push_back({fmt::format("anthropic-ratelimit-{}-limit", unit), std::to_string(limit.max)});
    if (limit.remaining) {
      headers.push_back({fmt::format("anthropic-ratelimit-{}-remaining", unit), std::to_string(*limit.remaining)});
    }
    if (has_reset(limit)) {
      headers.push_back({fmt::format("anthropic-ratelimit-{}-reset", unit), rfc3339(now + limit.reset_after)});
    }
  });
  add_retry_after(headers, decision);
  if (decision.never_fits) headers.push_back({"x-should-retry", "false"});
  return headers;
}

HttpProblem quota_exceeded(const DecisionView& decision) {
  StructuredList violated;
  for (const LimitView& limit : decision.limits) {
    if (limit.refuses) violated.add(structured_string(limit.name));
  }
  return problem(429, "quota-exceeded", "Request cannot be satisfied as assigned quota has been exceeded",
                 violated.text());
}

HttpProblem reduced_capacity() {
  return problem(503, "temporary-reduced-capacity",
                 "Request cannot be satisfied due to temporary server capacity constraints", {});
}

}  // namespace tollgate::inline v0
