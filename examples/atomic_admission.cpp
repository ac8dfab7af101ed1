// Admission::kAtomic: one script decides, so a denial writes nothing and causes no other denial; and an operation
// that has an id may be repeated after its answer was lost. atomic_admission [url]

#include <cstdint>
#include <exception>
#include <iostream>
#include <tollgate/redis_rate_limiter.hpp>

namespace {

/// Repeats what may have been executed, under the same id: it is charged once.
tollgate::Decision consume_surely(tollgate::RedisRateLimiter& limiter, std::int64_t tokens, const char* request_id) {
  for (int attempts_left = 3;; --attempts_left) {
    try {
      return limiter.consume("user_42", tokens, {.operation_id = request_id});
    } catch (const tollgate::Error& error) {
      if (!error.retryable() || attempts_left == 0) throw;
    }
  }
}

void show(const char* what, const tollgate::Decision& decision) {
  std::cout << what << (decision ? ": allowed, " : ": denied, ") << decision.remaining.value_or(0) << " left\n";
}

}  // namespace

int main(int argc, char** argv) {
  try {
    tollgate::RedisRateLimiter limiter{argc > 1 ? argv[1] : "memory://",
                                       {.max_tokens_per_minute = 1'000, .admission = tollgate::Admission::kAtomic}};

    show("request-1", consume_surely(limiter, 600, "request-1"));
    show("request-2", consume_surely(limiter, 600, "request-2"));  // does not fit
    show("request-3", consume_surely(limiter, 400, "request-3"));
    show("request-1 again", consume_surely(limiter, 600, "request-1"));  // the first answer, charged once
    std::cout << limiter.get_remaining("user_42") << " left\n";
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
