#include "faults/fault_load.hpp"

#include <sys/prctl.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <random>
#include <stdexcept>
#include <thread>
#include <vector>

#include "decisions/keys.hpp"
#include "tollgate/connect.hpp"
#include "tollgate/testing/manual_clock.hpp"

namespace tollgate::tests {
namespace {

using namespace std::chrono_literals;
using Time = std::chrono::steady_clock;

constexpr auto kPatience = 250ms;     // of a call
constexpr auto kTolerance = 1s;       // of a machine that is busy with other things
constexpr auto kUsersChange = 250ms;  // a new user comes, and the one before last goes
const ClientOptions kTimeouts{.connect_timeout = 1s, .command_timeout = kPatience};

/// A clock that stays in one minute, while its steady time advances, so that remembered denials expire.
class OneMinute final : public Clock {
 public:
  [[nodiscard]] std::chrono::system_clock::time_point now() const noexcept override {
    return testing::ManualClock::kStart;
  }
  [[nodiscard]] Time::time_point steady_now() const noexcept override { return Time::now(); }
};

}  // namespace

// ---- a caller -----------------------------------------------------------------------------------------------------

/// One call: counted when it begins, and looked at when it ends.
class Caller::Timed {
 public:
  explicit Timed(Account& account) : account_(account) { ++account_.calls; }
  ~Timed() {
    if (Time::now() <= deadline_ + kTolerance) ++account_.in_time;
  }
  Timed(const Timed&) = delete;
  Timed& operator=(const Timed&) = delete;

  [[nodiscard]] CallOptions options() const { return {.deadline = deadline_}; }

 private:
  Account& account_;
  const Time::time_point deadline_ = Time::now() + kPatience;
};

Budget& Caller::budget(int user) { return account_.budgets[static_cast<std::size_t>(user)]; }

bool Caller::grant(int user, std::int64_t tokens) {
  ++account_.granted[static_cast<std::size_t>(process_)];
  Budget& budget = this->budget(user);
  const std::int64_t held = budget.held += tokens;
  for (std::int64_t peak = budget.peak; peak < held && !budget.peak.compare_exchange_weak(peak, held);) {
  }
  return true;
}

void Caller::fail(std::error_code code) {
  const bool ours = code.category() == error_category();
  const auto number = ours ? static_cast<std::size_t>(code.value()) : 0;
  ++account_.failed[number < account_.failed.size() ? number : 0];
}

bool Caller::fail(int user, std::int64_t tokens, const Error& error) {
  in_doubt_ = error.may_have_executed();
  if (in_doubt_) budget(user).in_doubt += tokens;
  fail(error.code());
  return false;
}

bool Caller::consume(int user, std::int64_t tokens) {
  const Timed timed{account_};
  ++budget(user).calls;
  in_doubt_ = false;
  try {
    return limiter_.check_and_consume(name_of(user), tokens, timed.options()) && grant(user, tokens);
  } catch (const Error& error) {
    return fail(user, tokens, error);
  }
}

bool Caller::try_consume(int user, std::int64_t tokens) {
  const Timed timed{account_};
  ++budget(user).calls;
  const Decision decision = limiter_.try_consume(name_of(user), tokens, timed.options());
  if (decision.allowed) return grant(user, tokens);
  if (decision.failure) {
    fail(decision.failure);
    // No other failure leaves it open whether the request was executed.
    const bool doubtful = decision.failure == Errc::kTimeout || decision.failure == Errc::kConnectionLost ||
                          decision.failure == Errc::kProtocol;
    if (doubtful) budget(user).unreported += tokens;
  }
  return false;
}

bool Caller::reserve_and_settle(int user, std::int64_t estimate, std::int64_t actual) {
  const Timed timed{account_};
  ++budget(user).calls;
  in_doubt_ = false;
  try {
    Reservation reservation = limiter_.reserve(name_of(user), estimate, timed.options());
    if (!reservation.allowed()) return false;
    grant(user, estimate);
    budget(user).held -= estimate - actual;  // first: from now on it may be granted to another
    reservation.settle(actual);
    return true;
  } catch (const Error& error) {
    return fail(user, estimate, error);
  }
}

// ---- the load -----------------------------------------------------------------------------------------------------

FaultLoad::FaultLoad() {
  for (int process = 0; process < kLoadProcesses; ++process) {
    processes_.start([this, process] { work(process); });
  }
}

FaultLoad::~FaultLoad() { static_cast<void>(finish()); }

void FaultLoad::begin(const std::string& first_url, const std::string& second_url) {
  const std::array<std::string, kLoadProcesses> urls{first_url, second_url};
  for (std::size_t i = 0; i < urls.size(); ++i) {
    if (urls[i].size() >= account_->urls[i].size()) throw std::length_error("a URL of the fault load is too long");
    std::memcpy(account_->urls[i].data(), urls[i].c_str(), urls[i].size() + 1);
  }
  account_->start = Time::now();
  account_->go = true;
}

bool FaultLoad::finish() {
  if (!std::exchange(running_, false)) return true;
  account_->stop = true;
  return processes_.join() == 0;
}

std::int64_t FaultLoad::failed() const {
  std::int64_t sum = 0;
  for (const auto& calls : account_->failed) sum += calls;
  return sum;
}

RateLimitConfig FaultLoad::config(Admission admission, std::chrono::milliseconds deny_memory) {
  return {.max_tokens_per_minute = kBudget,
          .admission = admission,
          .deny_memory = deny_memory,
          .clock = std::make_shared<OneMinute>()};
}

std::string FaultLoad::key_of(int user) {
  const std::int64_t minute = decisions::unix_minute(OneMinute{}.now());
  return std::string{decisions::Key::counter(RateLimitConfig{}.key_prefix, Caller::name_of(user), {minute}).view()};
}

/// A process of the load: one client, a limiter of each admission, and threads that use one each.
void FaultLoad::work(int process) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // it does not outlive a test that crashed
  Account& account = *account_;
  while (!account.go) {
    if (account.stop) return;
    std::this_thread::sleep_for(1ms);
  }

  const auto client = connect(account.urls[static_cast<std::size_t>(process)].data(), kTimeouts);
  const auto deny_memory = process == 0 ? 0ms : 100ms;
  RedisRateLimiter pipelined{client, config(Admission::kPipelined, deny_memory)};
  RedisRateLimiter atomic{client, config(Admission::kAtomic, deny_memory)};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreadsPerProcess; ++thread) {
    threads.emplace_back([&, thread] {
      Caller caller{account, thread % 2 == 0 ? pipelined : atomic, process};
      std::minstd_rand random{static_cast<unsigned>(process * kThreadsPerProcess + thread + 1)};
      const auto up_to = [&](std::int64_t most) { return static_cast<std::int64_t>(random()) % (most + 1); };
      while (!account.stop) {
        // Paced, so that calls that fail at once leave the processor to the others.
        std::this_thread::sleep_for(std::chrono::microseconds{200 + up_to(600)});
        if (account.idle) continue;
        const int phase = static_cast<int>((Time::now() - account.start) / kUsersChange);
        const int user = std::min(std::max(phase - static_cast<int>(up_to(1)), 0), Account::kLoadUsers - 1);
        const std::int64_t tokens = 1 + up_to(kMostTokens - 1);
        switch (up_to(2)) {
          case 0: caller.consume(user, tokens); break;
          case 1: caller.try_consume(user, tokens); break;
          default: caller.reserve_and_settle(user, tokens, up_to(tokens));
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();

  if (!client->drain(Time::now() + 10s)) ++account.undrained;
  account.undelivered += static_cast<std::int64_t>(pipelined.undelivered().tokens + atomic.undelivered().tokens);
}

}  // namespace tollgate::tests
