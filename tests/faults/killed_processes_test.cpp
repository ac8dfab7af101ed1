// Processes killed with SIGKILL at random moments, during calls of every kind: nothing is admitted beyond the limit,
// every counter equals the recorded decisions plus what the kills left in doubt, and every key expires.
//
// Environment: TOLLGATE_KILLS_SEED sets the seed. It repeats what is tried and when it is killed, not the interleaving.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "decisions/keys.hpp"
#include "faults/killed_process_diary.hpp"
#include "integration/processes.hpp"
#include "tollgate/connect.hpp"
#include "tollgate/redis_rate_limiter.hpp"
#include "tollgate/testing/manual_clock.hpp"
#include "tollgate/testing/redis_server.hpp"
#include "values/scripts.hpp"

namespace tollgate::tests {
namespace {

using namespace std::chrono_literals;
using ::testing::IsEmpty;

const ClientOptions kPatient{.connect_timeout = 30s, .command_timeout = 30s};

std::string name_of(int user) { return "user-" + std::to_string(user); }

/// A clock that stays in one minute, so that there is one window; only the steady time advances.
class StandingMinute final : public Clock {
 public:
  [[nodiscard]] std::chrono::system_clock::time_point now() const noexcept override {
    return testing::ManualClock::kStart + 30s;
  }
  [[nodiscard]] std::chrono::steady_clock::time_point steady_now() const noexcept override {
    return std::chrono::steady_clock::now();
  }
};

RedisRateLimiter make_limiter(const std::shared_ptr<RedisClient>& client, Admission admission,
                              std::chrono::milliseconds deny_memory) {
  return RedisRateLimiter{client,
                          {.max_tokens_per_minute = kLimit,
                           .admission = admission,
                           .deny_memory = deny_memory,
                           .clock = std::make_shared<StandingMinute>()}};
}

/// One thread of a worker process.
class Actor {
 public:
  Actor(std::uint64_t seed, int own_user, RedisRateLimiter& pipelined, RedisRateLimiter& atomic, const Shared& shared,
        Diary& diary)
      : random_(seed), own_user_(own_user), pipelined_(pipelined), atomic_(atomic), shared_(shared), diary_(diary) {}

  void run() {
    static_cast<void>(consume(own_user_, 1));
    while (!shared_.stop && diary_.entries.size() - diary_.size > 8) act();
  }

 private:
  std::int64_t pick(std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>{low, high}(random_);
  }

  void act() {
    const std::int64_t roll = pick(0, 99);
    is_pipelined_ = pick(0, 1) == 0;
    if (roll < 10) return make_a_key();
    if (roll < 45) return grant(shared_.turn);
    if (roll < 80) return grant_and_return(kReturning + shared_.turn);
    if (roll < 95) return grant_and_return(own_user_);
    if (roll < 97) return other([&] { return limiter().get_remaining(name_of(shared_.turn)); });
    if (roll < 99) return other([&] { return limiter().consume(name_of(kReset), pick(1, kMostTokens)).allowed; });
    other([&] {
      limiter().reset(name_of(kReset));
      return true;
    });
  }

  /// For a user who is not charged again, so that no later charge sets the expiry of a key that has none.
  void make_a_key() {
    const std::string user = "once-" + std::to_string(own_user_) + '-' + std::to_string(random_());
    other([&] { return limiter().consume(user, pick(1, kMostTokens)).allowed; });
  }

  RedisRateLimiter& limiter() { return is_pipelined_ ? pipelined_ : atomic_; }

  template <class Call>
  void other(Call call) {
    Entry& entry = diary_.begin(Entry::kOther, kReset, 0);
    static_cast<void>(call());
    // A denial from the deny memory is not distinguished here; it proves nothing about earlier posts.
    entry.outcome = Entry::kDeniedLocally;
  }

  /// `call` gives a Decision.
  template <class Call>
  bool charge(int user, std::int64_t tokens, Call call) {
    Entry& entry = diary_.begin(Entry::kCharge, user, tokens, is_pipelined_);
    const Decision decision = call();
    entry.outcome = decision.allowed                    ? Entry::kAdmitted
                    : decision.source == Source::kLocal ? Entry::kDeniedLocally
                                                        : Entry::kDenied;
    return decision.allowed;
  }

  bool consume(int user, std::int64_t tokens) {
    CallOptions options;
    const std::string operation = is_pipelined_ || pick(0, 9) != 0 ? "" : std::to_string(random_());
    if (!operation.empty()) options.operation_id = operation;
    return charge(user, tokens, [&] { return limiter().consume(name_of(user), tokens, options); });
  }

  void grant(int user) {
    const std::int64_t tokens = pick(1, kMostTokens);
    if (pick(0, 3) != 0) return static_cast<void>(consume(user, tokens));
    static_cast<void>(reserve(user, tokens));
  }

  std::optional<Reservation> reserve(int user, std::int64_t tokens) {
    std::optional<Reservation> reservation;
    charge(user, tokens, [&] {
      reservation = limiter().reserve(name_of(user), tokens);
      return reservation->decision();
    });
    if (pick(0, 2) == 0) {
      const std::int64_t more = pick(1, kMostTokens);
      charge(user, more, [&] { return reservation->add(more); });
    }
    return reservation;
  }

  void grant_and_return(int user) {
    const std::int64_t roll = pick(0, 99);
    if (roll < 10) return static_cast<void>(consume(user, pick(1, kMostTokens)));
    if (roll < 13) {
      const std::int64_t tokens = pick(1, kMostTokens);
      Entry& entry = diary_.begin(Entry::kRecord, user, tokens);
      limiter().record(name_of(user), tokens);
      entry.outcome = Entry::kAnswered;
      return;
    }
    std::optional<Reservation> reservation = reserve(user, pick(1, kMostTokens));
    if (reservation->tokens() == 0 || roll < 25) return;  // dropped: it stays charged
    // More is given back than is charged in excess, so that budgets do not stay full.
    const std::int64_t actual = roll < 30   ? reservation->tokens() + pick(1, 5)
                                : roll < 50 ? 0
                                            : pick(0, reservation->tokens() - 1);
    const std::int64_t excess = actual - reservation->tokens();
    Entry& entry = diary_.begin(excess < 0 ? Entry::kGiveBack : Entry::kExcess, user, std::abs(excess));
    if (actual == 0) {
      reservation->cancel();
    } else {
      reservation->settle(actual);
    }
    entry.outcome = Entry::kPosted;
  }

  std::mt19937_64 random_;
  int own_user_;
  RedisRateLimiter& pipelined_;
  RedisRateLimiter& atomic_;
  const Shared& shared_;
  Diary& diary_;
  bool is_pipelined_ = false;
};

void run_worker(const std::string& url, std::uint64_t seed, int number, Shared& shared,
                std::array<Diary, kThreads>& diaries) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // none outlives a test that is killed itself
  const auto client = connect(url, kPatient);
  const auto deny_memory = number % 2 == 0 ? 0ms : 1000ms;
  RedisRateLimiter pipelined = make_limiter(client, Admission::kPipelined, deny_memory);
  RedisRateLimiter atomic = make_limiter(client, Admission::kAtomic, deny_memory);
  std::vector<std::thread> threads;
  for (Diary& diary : diaries) {
    threads.emplace_back([&, thread_seed = seed * kThreads + threads.size()] {
      Actor{thread_seed, kOwn + number, pipelined, atomic, shared, diary}.run();
    });
  }
  for (std::thread& thread : threads) thread.join();
  if (!pipelined.drain(std::chrono::steady_clock::now() + 30s)) throw std::runtime_error("not drained");
  for (Diary& diary : diaries) diary.begin(Entry::kOther, kReset, 0).outcome = Entry::kAnswered;
}

TEST(KilledProcesses, NeitherOverAdmitNorLeaveAKeyThatNeverExpires) {
  const char* const given = std::getenv("TOLLGATE_KILLS_SEED");
  const std::uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}() % 1'000'000;
  std::cout << "seed " << seed << std::endl;
  const auto start = std::chrono::steady_clock::now();

  testing::RedisServer server;
  for (const Script* script : {&kAdmitScript, &kAdjustScript}) {
    server.command({"SCRIPT", "LOAD", std::string{script->source}});  // what is sent again comes out of its order
  }
  const SharedCounters<Shared> shared;
  std::array<Processes, kWorkers> workers;
  int started = 0;
  const auto start_worker = [&](std::size_t place) {
    const int number = started++;
    workers.at(place).start([&, number, place] {
      run_worker(server.url(), seed * 1000 + static_cast<std::uint64_t>(number), number, *shared,
                 shared->diaries.at(place));
    });
  };

  auto accounts = std::make_unique<Accounts>();
  std::mt19937_64 random{seed};
  for (std::size_t place = 0; place < kWorkers; ++place) start_worker(place);
  for (int kills = 0; kills < kKills; ++kills) {
    std::this_thread::sleep_for(std::chrono::microseconds{std::uniform_int_distribution{3'000, 60'000}(random)});
    const std::size_t place = random() % kWorkers;
    ASSERT_EQ(workers.at(place).kill(), 0) << "a process had ended before it was killed";
    for (Diary& diary : shared->diaries.at(place)) {
      ASSERT_FALSE(diary.full());
      accounts->close(diary);
    }
    shared->turn = (kills + 1) / kKillsPerUser;
    start_worker(place);
  }
  shared->stop = true;
  for (std::size_t place = 0; place < kWorkers; ++place) {
    EXPECT_EQ(workers.at(place).join(), 0) << "a process failed";
    for (Diary& diary : shared->diaries.at(place)) accounts->close(diary);
  }

  std::int64_t admitted = 0;
  std::int64_t possibly_charged = 0;
  std::int64_t left_by_kills = 0;
  int own_counters = 0;
  const auto counter_of = [&](int user) {
    const auto key = decisions::Key::counter(RateLimitConfig{}.key_prefix, name_of(user),
                                             decisions::window_at(StandingMinute{}.now()));
    return server.command({"GET", std::string{key.view()}}).to_integer();
  };
  for (int user = 0; user < kUsers; ++user) {
    if (user == kReset) continue;
    SCOPED_TRACE(name_of(user));
    const Account& account = accounts->users.at(static_cast<std::size_t>(user));
    const auto counter = counter_of(user);
    if (user >= kOwn && counter) ++own_counters;
    EXPECT_LE(account.admitted - account.returned - account.possibly_returned, kLimit);
    EXPECT_LE(counter.value_or(0), kLimit + account.recorded + account.possibly_charged);
    EXPECT_GE(counter.value_or(0), account.at_least());
    EXPECT_LE(counter.value_or(0), account.at_most());
    admitted += account.admitted;
    possibly_charged += account.possibly_charged;
    left_by_kills += std::max<std::int64_t>(counter.value_or(0) - account.at_least(), 0);
  }
  // A call that was cut off, and one post before it, per thread that was killed.
  EXPECT_LE(possibly_charged, kKills * static_cast<std::int64_t>(kThreads) * 2 * kMostTokens);
  EXPECT_THAT(server.keys_without_ttl(), IsEmpty());

  // Every limit is reached now: what is left is granted, and not a token more.
  RedisRateLimiter limiter = make_limiter(connect(server.url(), kPatient), Admission::kPipelined, 0ms);
  for (int user = 0; user < kTurns; ++user) {
    SCOPED_TRACE(name_of(user));
    const std::int64_t left = limiter.get_remaining(name_of(user));
    if (left > 0) {
      EXPECT_TRUE(limiter.check_and_consume(name_of(user), left));
    }
    EXPECT_FALSE(limiter.check_and_consume(name_of(user), 1));
    const Account& account = accounts->users.at(static_cast<std::size_t>(user));
    EXPECT_LE(account.admitted + left, kLimit);
    EXPECT_GE(account.admitted + left + account.possibly_charged, kLimit);
  }

  std::cout << std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() << " s, " << kKills
            << " kills, " << accounts->calls << " calls, " << accounts->denials << " denials, " << accounts->calls_cut
            << " calls cut off, " << accounts->posts_in_doubt << " posts in doubt; " << admitted
            << " tokens admitted for certain, " << possibly_charged << " more possibly charged, of which "
            << left_by_kills << " stand in the counters" << std::endl;
  // All of this happened, or the rest would mean little.
  EXPECT_GT(accounts->calls_cut, kKills / 2);
  EXPECT_GT(accounts->denials, kKills);
  EXPECT_GT(own_counters, kKills / 2);
  EXPECT_GT(left_by_kills, 0);
}

}  // namespace
}  // namespace tollgate::tests
