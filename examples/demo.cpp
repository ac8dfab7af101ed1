// A simulated LLM gateway: eight handler threads serve a dozen users of different appetite, who share nothing but their
// own budgets. Each request reserves an estimate before the call and settles it after. Run it by scripts/demo [url].

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <numeric>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <tollgate/redis_rate_limiter.hpp>
#include <vector>

namespace {

using namespace std::chrono_literals;
using SteadyClock = std::chrono::steady_clock;

constexpr std::int64_t kLimit = 40'000;  // tokens per user and minute
constexpr std::size_t kHandlers = 8;
constexpr std::int64_t kMaxAnswer = 2'000;  // what a client sends as max_tokens
constexpr auto kRedraw = 200ms;
constexpr auto kDefaultRun = 12s;

volatile std::sig_atomic_t interrupted = 0;
extern "C" void on_interrupt(int /*signal*/) { interrupted = 1; }

struct User {
  std::string_view name;
  double appetite;  // requests per second, on average

  std::atomic<std::int64_t> allowed{0};
  std::atomic<std::int64_t> denied{0};
  std::atomic<std::int64_t> settled{0};  // tokens
};

std::array<User, 12> users{{{"ada", 16},
                            {"grace", 12},
                            {"linus", 9},
                            {"margaret", 7},
                            {"dennis", 5},
                            {"barbara", 4},
                            {"ken", 3},
                            {"edsger", 2},
                            {"donald", 1.5},
                            {"frances", 1},
                            {"alan", 0.5},
                            {"bjarne", 0.25}}};

/// What all handlers measured.
class Measurements {
 public:
  void add(const std::vector<double>& microseconds) {
    const std::lock_guard lock{mutex_};
    latencies_.insert(latencies_.end(), microseconds.begin(), microseconds.end());
  }

  void count_failure(const std::error_code& failure) {
    const std::lock_guard lock{mutex_};
    ++failures_;
    last_failure_ = failure.message();
  }

  [[nodiscard]] std::int64_t failures() const {
    const std::lock_guard lock{mutex_};
    return failures_;
  }

  /// One line for the end; call it when all handlers have stopped.
  [[nodiscard]] std::string summary(double seconds) {
    const std::lock_guard lock{mutex_};
    std::sort(latencies_.begin(), latencies_.end());
    const auto quantile = [this](double q) {
      return latencies_.empty() ? 0.0 : latencies_[static_cast<std::size_t>(q * double(latencies_.size() - 1))];
    };
    std::string text = fmt::format(
        "{} decisions in {:.1f} s ({:.0f}/s), latency p50 {:.0f} µs, p99 {:.0f} µs, {} failed", latencies_.size(),
        seconds, double(latencies_.size()) / seconds, quantile(0.5), quantile(0.99), failures_);
    return failures_ == 0 ? text : text + "; the last: " + last_failure_;
  }

  [[nodiscard]] bool all_failed() const {
    const std::lock_guard lock{mutex_};
    return failures_ > 0 && failures_ == static_cast<std::int64_t>(latencies_.size());
  }

 private:
  mutable std::mutex mutex_;
  std::vector<double> latencies_;
  std::int64_t failures_ = 0;
  std::string last_failure_;
};

/// One handler thread: requests come in at random, the busiest user most often.
class Handler {
 public:
  Handler(tollgate::RedisRateLimiter& limiter, Measurements& measurements, unsigned seed)
      : limiter_(limiter), measurements_(measurements), random_(seed) {
    std::vector<double> weights;
    weights.reserve(users.size());
    for (const User& user : users) weights.push_back(user.appetite);
    pick_ = std::discrete_distribution<std::size_t>(weights.begin(), weights.end());
    const double rate = std::accumulate(weights.begin(), weights.end(), 0.0) / double(kHandlers);
    pause_ = std::exponential_distribution<double>{rate};
  }

  void serve_until(SteadyClock::time_point end) {
    auto arrival = SteadyClock::now();
    while (interrupted == 0) {
      arrival += std::chrono::duration_cast<SteadyClock::duration>(std::chrono::duration<double>(pause_(random_)));
      std::this_thread::sleep_until(std::min(arrival, end));
      if (SteadyClock::now() >= end) break;
      serve(users[pick_(random_)]);
    }
    measurements_.add(latencies_);
  }

 private:
  void serve(User& user) {
    const auto prompt = std::clamp<std::int64_t>(std::llround(prompt_(random_)), 10, 6'000);
    const auto answer = std::clamp<std::int64_t>(std::llround(answer_(random_)), 1, kMaxAnswer);
    const std::int64_t estimate = prompt + std::min(kMaxAnswer, 2 * answer);  // a guess, on the safe side

    const auto asked = SteadyClock::now();
    tollgate::Reservation reservation = limiter_.reserve(user.name, estimate);
    latencies_.push_back(std::chrono::duration<double, std::micro>(SteadyClock::now() - asked).count());

    if (reservation.decision().failure) measurements_.count_failure(reservation.decision().failure);
    if (!reservation.allowed()) {
      ++user.denied;
      return;
    }
    std::this_thread::sleep_for(std::chrono::microseconds(20'000 + 60 * answer));  // the model writes its answer
    reservation.settle(prompt + answer);
    ++user.allowed;
    user.settled += prompt + answer;
  }

  tollgate::RedisRateLimiter& limiter_;
  Measurements& measurements_;
  std::mt19937 random_;
  std::discrete_distribution<std::size_t> pick_;
  std::lognormal_distribution<double> prompt_{std::log(350.0), 0.9};  // median 350 tokens, a long tail
  std::lognormal_distribution<double> answer_{std::log(250.0), 0.7};
  std::exponential_distribution<double> pause_;  // between two arrivals, seconds
  std::vector<double> latencies_;
};

/// The state of all users as lines of text; asks Redis once per user.
std::vector<std::string> table(tollgate::RedisRateLimiter& limiter) {
  constexpr std::int64_t kBar = 20;
  std::vector<std::string> lines{fmt::format("{:<10}{:<{}}{:>7}{:>10}{:>9}{:>8}{:>10}", "user", "used of the limit",
                                             kBar + 2, "used", "remaining", "allowed", "denied", "settled")};
  std::chrono::milliseconds reset_after{0};
  for (const User& user : users) {
    const tollgate::Decision now = limiter.try_consume(user.name, 0);
    reset_after = now.reset_after;
    std::string bar = fmt::format("{:<{}}", "no answer", kBar);
    std::string used = "?";
    std::string remaining = "?";
    if (now.remaining) {
      const std::int64_t spent = kLimit - *now.remaining;
      const std::int64_t filled = (spent * kBar + kLimit / 2) / kLimit;
      bar = std::string(static_cast<std::size_t>(filled), '#') +
            std::string(static_cast<std::size_t>(kBar - filled), '.');
      used = std::to_string(spent);
      remaining = std::to_string(*now.remaining);
    }
    lines.push_back(fmt::format("{:<10}{}  {:>7}{:>10}{:>9}{:>8}{:>10}", user.name, bar, used, remaining,
                                user.allowed.load(), user.denied.load(), user.settled.load()));
  }
  lines.push_back(fmt::format("limit {} tokens per user and minute; this minute ends in {} s", kLimit,
                              std::chrono::ceil<std::chrono::seconds>(reset_after).count()));
  return lines;
}

/// Redraws its lines in place, on a terminal that is large enough.
class LiveView {
 public:
  [[nodiscard]] static bool possible(std::size_t lines) {
    const char* const term = std::getenv("TERM");
    winsize size{};
    return ::isatty(STDOUT_FILENO) == 1 && term != nullptr && std::string_view{term} != "dumb" &&
           ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > lines && size.ws_col >= 80;
  }

  LiveView() { fmt::print("\x1b[?25l"); }
  LiveView(const LiveView&) = delete;
  LiveView& operator=(const LiveView&) = delete;
  ~LiveView() {
    fmt::print("\x1b[?25h");
    std::fflush(stdout);
  }

  void draw(const std::vector<std::string>& lines) {
    if (drawn_ > 0) fmt::print("\x1b[{}A", drawn_);
    for (const std::string& line : lines) fmt::print("{}\x1b[K\n", line);
    std::fflush(stdout);
    drawn_ = lines.size();
  }

 private:
  std::size_t drawn_ = 0;
};

void print_usage() {
  fmt::print(stderr,
             "usage: demo [--seconds N] [url]\n"
             "  url: memory:// (default), redis://[[user][:password]@]host[:port][/db] or unix:///path/redis.sock\n"
             "  N:   1 … 60, how long to run (default {})\n",
             kDefaultRun.count());
}

struct Arguments {
  std::string url = "memory://";
  std::chrono::seconds run = kDefaultRun;
};

Arguments parse(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--seconds" && i + 1 < argc) {
      arguments.run = std::chrono::seconds{std::atoi(argv[++i])};
      if (arguments.run < 1s || arguments.run > 60s) {
        throw std::invalid_argument(fmt::format("--seconds is {}; it must be 1 … 60", argv[i]));
      }
    } else if (argument.starts_with("-")) {
      throw std::invalid_argument(fmt::format("unknown option {}", argument));
    } else {
      arguments.url = argument;
    }
  }
  return arguments;
}

int run(const Arguments& arguments) {
  // kDeny: while Redis is away this gateway refuses, and each decision says why.
  tollgate::RedisRateLimiter limiter{
      arguments.url,
      {.max_tokens_per_minute = kLimit, .key_prefix = "tollgate:demo", .on_failure = tollgate::FailurePolicy::kDeny}};
  Measurements measurements;
  fmt::print("{} handlers, {} users, {} s\n\n", kHandlers, users.size(), arguments.run.count());
  std::fflush(stdout);

  const auto start = SteadyClock::now();
  const auto end = start + arguments.run;
  std::vector<std::thread> handlers;
  std::random_device seed;
  for (std::size_t i = 0; i < kHandlers; ++i) {
    handlers.emplace_back([&limiter, &measurements, end, first = seed()] {
      Handler{limiter, measurements, first}.serve_until(end);
    });
  }

  const bool live = LiveView::possible(users.size() + 3);
  {
    std::optional<LiveView> view;
    if (live) view.emplace();
    while (interrupted == 0 && SteadyClock::now() < end) {
      if (view) view->draw(table(limiter));
      std::this_thread::sleep_for(kRedraw);
    }
    for (std::thread& handler : handlers) handler.join();
    const auto last = table(limiter);
    if (view) {
      view->draw(last);
    } else {
      for (const std::string& line : last) fmt::print("{}\n", line);
    }
  }
  const double seconds = std::chrono::duration<double>(SteadyClock::now() - start).count();
  fmt::print("{}\n", measurements.summary(seconds));
  if (interrupted != 0) return 130;
  return measurements.all_failed() ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGINT, on_interrupt);
  std::signal(SIGTERM, on_interrupt);
  try {
    return run(parse(argc, argv));
  } catch (const std::invalid_argument& error) {
    fmt::print(stderr, "{}\n\n", error.what());
    print_usage();
    return 2;
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
