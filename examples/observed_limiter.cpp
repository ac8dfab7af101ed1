// Failures reported as they happen, and counters: observed_limiter [url]

#include <cstdint>
#include <exception>
#include <iostream>
#include <memory>
#include <string>
#include <string_view>
#include <tollgate/redis_rate_limiter.hpp>

namespace {

/// Stands for your log.
class Log final : public tollgate::Observer {
 public:
  void on_event(const tollgate::Event& event) noexcept override {
    std::cout << "event: " << tollgate::to_string(event.kind);
    if (event.tokens != 0) std::cout << ", " << event.tokens << " tokens";
    if (event.failure.code) std::cout << ": " << event.failure.code.message();
    std::cout << '\n';
  }
};

/// As your metrics endpoint would print them: counters only grow, and the scraper computes differences.
void print_metrics(const tollgate::Stats& stats) {
  const auto print = [](std::string_view name, std::string_view labels, std::uint64_t value) {
    std::cout << "tollgate_" << name << labels << ' ' << value << '\n';
  };
  print("allowed_total", R"({by="redis"})", stats.allowed.by_redis);
  print("allowed_total", R"({by="policy"})", stats.allowed.by_policy);
  print("denied_total", R"({by="redis"})", stats.denied.by_redis);
  print("denied_total", R"({by="itself"})", stats.denied.locally);
  print("denied_total", R"({by="policy"})", stats.denied.by_policy);
  print("failed_total", "", stats.failed);
  print("in_doubt_tokens_total", "", stats.in_doubt_tokens);
  print("undelivered_tokens_total", "", stats.undelivered.tokens);
  print("reservations_dropped_total", "", stats.reservations_dropped);
  print("answered_calls_total", "", stats.client.latency.total());  // of which it is a histogram
}

void handle(tollgate::RedisRateLimiter& limiter, std::int64_t estimate, bool forgets) {
  tollgate::Reservation reservation = limiter.reserve("user_42", estimate);
  if (!reservation.allowed() || forgets) return;  // without settle() or cancel()
  reservation.settle(estimate - 50);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    tollgate::RedisRateLimiter limiter{argc > 1 ? argv[1] : "memory://",
                                       {.max_tokens_per_minute = 1'000,
                                        .on_failure = tollgate::FailurePolicy::kDeny,
                                        .observer = std::make_shared<Log>()}};
    handle(limiter, 500, false);
    handle(limiter, 200, true);
    handle(limiter, 200, true);  // reported once a minute, counted each time
    handle(limiter, 300, false);
    handle(limiter, 2'000, false);
    print_metrics(limiter.stats());
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
