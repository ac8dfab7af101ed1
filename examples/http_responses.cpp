// What a gateway answers over HTTP: the header fields by which clients pace themselves, and the body of a denial.
// http_responses [url]

#include <cstdint>
#include <exception>
#include <iostream>
#include <tollgate/http_headers.hpp>
#include <tollgate/redis_rate_limiter.hpp>

namespace {

void answer(tollgate::RedisRateLimiter& limiter, std::int64_t tokens, tollgate::HeaderDialect dialect) {
  const tollgate::Decision decision = limiter.consume("user_42", tokens);
  const tollgate::HttpProblem problem = decision ? tollgate::HttpProblem{200, ""} : rate_limit_problem(decision);
  std::cout << "HTTP " << problem.status << '\n';
  for (const auto& [name, value] : rate_limit_headers(decision, dialect)) std::cout << name << ": " << value << '\n';
  std::cout << problem.body << '\n';
}

}  // namespace

int main(int argc, char** argv) {
  try {
    tollgate::RedisRateLimiter limiter{argc > 1 ? argv[1] : "memory://", {.max_tokens_per_minute = 1'000}};
    answer(limiter, 600, tollgate::HeaderDialect::kOpenAi);
    answer(limiter, 600, tollgate::HeaderDialect::kIetf);         // does not fit until the minute ends
    answer(limiter, 1'001, tollgate::HeaderDialect::kAnthropic);  // never fits
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
