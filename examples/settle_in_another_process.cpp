// A gateway reserves, and a worker process that gets the real number of tokens settles: the reservation is sent as
// text, here through a pipe. settle_in_another_process [url]; the default is a Redis on this machine, since two
// processes share no memory://.

#include <sys/wait.h>
#include <unistd.h>

#include <exception>
#include <iostream>
#include <string>
#include <tollgate/redis_rate_limiter.hpp>

namespace {

tollgate::RateLimitConfig config() {
  // Only a process with the secret can settle; without a secret, a token is protected against damage only.
  return {.max_tokens_per_minute = 1'000, .token_secret = "the same on every host"};
}

void work(const char* url, int in) {
  std::string token;
  char bytes[256];
  for (ssize_t count = 0; (count = ::read(in, bytes, sizeof bytes)) > 0;) {
    token.append(bytes, static_cast<std::size_t>(count));
  }
  tollgate::RedisRateLimiter limiter{url, config()};
  limiter.adopt(token).settle(120);
  limiter.adopt(token).settle(999);  // a retry of the job: settled already, no effect
}  // posts are delivered before the limiter's client is destroyed

}  // namespace

int main(int argc, char** argv) {
  const char* url = argc > 1 ? argv[1] : "redis://localhost:6379/0";
  try {
    int pipe_ends[2];
    if (::pipe(pipe_ends) != 0) throw std::runtime_error("pipe() failed");
    const pid_t worker = ::fork();
    if (worker < 0) throw std::runtime_error("fork() failed");
    if (worker == 0) {
      ::close(pipe_ends[1]);
      work(url, pipe_ends[0]);
      return 0;
    }
    ::close(pipe_ends[0]);

    tollgate::RedisRateLimiter limiter{url, config()};
    tollgate::Reservation reservation = limiter.reserve("user_42", 700);
    if (!reservation.allowed()) throw std::runtime_error("denied");
    std::cout << "reserved: " << limiter.get_remaining("user_42") << " left\n";

    const std::string token = reservation.token();
    if (::write(pipe_ends[1], token.data(), token.size()) < 0) throw std::runtime_error("write() failed");
    ::close(pipe_ends[1]);
    int status = 0;
    ::waitpid(worker, &status, 0);
    std::cout << "settled by the worker: " << limiter.get_remaining("user_42") << " left\n";
    return status == 0 ? 0 : 1;
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
