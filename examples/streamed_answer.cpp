// A streamed answer of unknown length: it is charged in steps, and cut off when the budget is
// gone. streamed_answer [url]

#include <cstdint>
#include <exception>
#include <iostream>
#include <tollgate/redis_rate_limiter.hpp>

namespace {

/// Stands for your LLM's stream of `length` tokens, one at a time.
class Stream {
 public:
  explicit Stream(std::int64_t length) : left_(length) {}
  bool next() { return left_-- > 0; }

 private:
  std::int64_t left_;
};

void answer(tollgate::RedisRateLimiter& limiter, std::int64_t length) {
  constexpr std::int64_t kPrompt = 100;
  constexpr std::int64_t kStep = 200;  // a round trip per so many tokens

  tollgate::Reservation reservation = limiter.reserve("user_42", kPrompt + kStep);
  if (!reservation.allowed()) {
    std::cout << "denied\n";
    return;
  }
  std::int64_t used = kPrompt;
  bool cut_off = false;
  for (Stream stream{length}; stream.next(); ++used) {
    if (used == reservation.tokens() && !reservation.add(kStep)) {
      cut_off = true;
      break;
    }
  }
  reservation.settle(used);
  std::cout << used - kPrompt << " tokens" << (cut_off ? ", cut off\n" : "\n");
}

}  // namespace

int main(int argc, char** argv) {
  try {
    tollgate::RedisRateLimiter limiter{argc > 1 ? argv[1] : "memory://", {.max_tokens_per_minute = 1'000}};
    answer(limiter, 450);
    answer(limiter, 450);
    answer(limiter, 450);
    std::cout << limiter.get_remaining("user_42") << " left\n";
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
