// Many requests in one call and one round trip, for event loops and batch jobs: consume_many [url]

#include <exception>
#include <iostream>
#include <tollgate/redis_rate_limiter.hpp>
#include <vector>

int main(int argc, char** argv) {
  try {
    tollgate::RedisRateLimiter limiter{argc > 1 ? argv[1] : "memory://", {.max_tokens_per_minute = 1'000}};

    // Requests since the last iteration of the event loop. Each is decided independently.
    const std::vector<tollgate::ConsumeRequest> waiting{{"alice", 700}, {"bob", 1'500}, {"alice", 400}, {"alice", 300}};
    const std::vector<tollgate::Decision> decisions = limiter.consume_all(waiting);
    for (std::size_t i = 0; i < waiting.size(); ++i) {
      std::cout << waiting[i].user_id << ", " << waiting[i].tokens << " tokens: ";
      if (decisions[i].failure) {  // Redis gave no usable reply; the policy decided
        std::cout << decisions[i].failure.message() << '\n';
      } else if (!decisions[i].allowed) {
        std::cout << (decisions[i].retry_after ? "denied until the minute ends" : "denied for good") << '\n';
      } else {
        std::cout << "allowed, " << decisions[i].remaining.value_or(0) << " left\n";
      }
    }
  } catch (const std::exception& error) {  // the URL is wrong
    std::cerr << error.what() << '\n';
    return 1;
  }
}
