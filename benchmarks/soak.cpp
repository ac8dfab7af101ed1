// The soak: mixed load on a private redis-server under random real faults, for as long as wanted. It shows whether
// memory, keys or descriptors grow, whether a key is left that never expires, and whether more was admitted than a
// limit allows. Usage: soak [minutes [seed]]      (default 10; fractions are possible, then a line comes every 10 s)
//
// Over-admission is counted by the callers' decisions: per user, minute and life of the server, since a restart loses
// all counters. A call counts when the minute and the server's life were the same before it and after it. A life that
// begins amid a minute may be given back what was in flight when the one before ended, no more.

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "decisions/window.hpp"
#include "faults/tcp_gate.hpp"
#include "soak_faults.hpp"
#include "soak_ledger.hpp"
#include "tollgate/connect.hpp"
#include "tollgate/redis_rate_limiter.hpp"
#include "tollgate/testing/redis_server.hpp"

namespace soak {
namespace {

using namespace std::chrono_literals;
using SteadyClock = std::chrono::steady_clock;
using tollgate::Admission;
using tollgate::Decision;
using tollgate::FailurePolicy;
using tollgate::RedisRateLimiter;
using tollgate::Source;

constexpr auto kLongestCall = 5s;

struct Counts {
  std::atomic<std::int64_t> decisions{0};
  std::atomic<std::int64_t> errors{0};
  std::atomic<std::int64_t> in_doubt{0};
  std::atomic<std::int64_t> charged_once{0};
  std::atomic<std::int64_t> longest_call_us{0};
};

struct Limiter {
  Limiter(FailurePolicy on_failure, const std::shared_ptr<tollgate::RedisClient>& client,
          const tollgate::RateLimitConfig& config)
      : policy(on_failure), limiter(client, config) {}

  FailurePolicy policy;
  RedisRateLimiter limiter;
};

class Caller {
 public:
  Caller(std::uint64_t seed, std::deque<Limiter>& limiters, Ledger& ledger, Counts& counts)
      : random_(seed), limiters_(limiters), ledger_(ledger), counts_(counts) {}

  void act() {
    Limiter& limiter = limiters_[random_() % limiters_.size()];
    const std::int64_t roll = pick(0, 999);
    const std::int64_t tokens = pick(1, kMostTokens);
    if (pick(0, 499) == 0) charge_once(limiter, tokens);
    if (roll < 450) {
      const std::size_t user = pick_user(0, kGranted);
      charge(
          limiter, user, [&] { return limiter.limiter.consume(name(user), tokens, options()); }, tokens);
    } else if (roll < 550) {
      const std::size_t user = pick_user(0, kGranted);
      charge(
          limiter, user, [&] { return limiter.limiter.try_consume(name(user), tokens, options()); }, tokens);
    } else if (roll < 650) {
      const std::size_t user = pick_user(0, kGranted);  // dropped: it stays charged
      charge(
          limiter, user, [&] { return limiter.limiter.reserve(name(user), tokens, options()).decision(); }, tokens);
    } else if (roll < 900) {
      reserve_and_settle(limiter, pick_user(kGranted, kReturning), tokens);
    } else if (roll < 950) {
      call([&] { limiter.limiter.record(name(pick_user(kGranted, kReturning)), pick(1, 3)); });
    } else if (roll < 990) {
      call([&] { limiter.limiter.get_remaining(name(pick_user(0, kUsers))); });
    } else {
      const std::string user = name(pick_user(kGranted + kReturning, kReset));
      call([&] { static_cast<void>(limiter.limiter.check_and_consume(user, tokens)); });
      if (roll == 999 && pick(0, 9) == 0) call([&] { limiter.limiter.reset(user); }, false);
    }
    if (pick(0, 3) == 0) std::this_thread::sleep_for(200us);  // a request handler has other things to do
  }

 private:
  static std::string name(std::size_t user) { return "user-" + std::to_string(user); }

  std::int64_t pick(std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>{low, high}(random_);
  }
  /// The first of the group much more often than the last, so that budgets are exhausted at all times.
  std::size_t pick_user(std::size_t first, std::size_t count) {
    const auto last = static_cast<std::int64_t>(count) - 1;
    return first + static_cast<std::size_t>(pick(0, pick(0, last)));
  }
  tollgate::CallOptions options() {
    if (pick(0, 19) != 0) return {};
    return {.deadline = SteadyClock::now() + std::chrono::microseconds{pick(50, 20'000)}};
  }

  /// Whether it came to an end without an error.
  template <class Call>
  bool call(Call make, bool one_round_trip = true) {
    ++counts_.decisions;
    const auto start = SteadyClock::now();
    bool ok = true;
    try {
      make();
    } catch (const tollgate::Error& error) {
      ok = false;
      ++counts_.errors;
      if (error.may_have_executed()) ++counts_.in_doubt;
    }
    const auto took = std::chrono::duration_cast<std::chrono::microseconds>(SteadyClock::now() - start).count();
    for (std::int64_t longest = counts_.longest_call_us; one_round_trip && took > longest;) {
      if (counts_.longest_call_us.compare_exchange_weak(longest, took)) break;
    }
    if (!ok) std::this_thread::sleep_for(500us);
    return ok;
  }

  template <class Call>
  bool charge(const Limiter& limiter, std::size_t user, Call make, std::int64_t tokens) {
    const Ledger::When before = ledger_.now();
    Decision decision;
    if (!call([&] { decision = make(); })) return false;
    const Ledger::When after = ledger_.now();
    if (decision.failure) {
      ++counts_.errors;
      std::this_thread::sleep_for(500us);
    }
    if (!decision.allowed || before.minute != after.minute) return decision.allowed;
    if (decision.source == Source::kRedis && before == after && before.is_certain()) {
      ledger_.add_admitted(before, user, tokens);
    }
    if (decision.source == Source::kFallback && limiter.policy == FailurePolicy::kLocalShare) {
      ledger_.add_shared(before.minute, user, tokens);
    }
    return decision.allowed;
  }

  void charge_once(Limiter& limiter, std::int64_t tokens) {
    if (counts_.charged_once >= kOncePerMinute * (minute_now() - first_minute_ + 1)) return;
    const std::string user = "once-" + std::to_string(++counts_.charged_once);
    call([&] { static_cast<void>(limiter.limiter.check_and_consume(user, tokens)); });
  }

  void reserve_and_settle(Limiter& limiter, std::size_t user, std::int64_t tokens) {
    std::vector<std::int64_t> minutes{minute_now()};
    std::vector<tollgate::Reservation> held;
    charge(
        limiter, user,
        [&] {
          held.push_back(limiter.limiter.reserve(name(user), tokens, options()));
          return held.front().decision();
        },
        tokens);
    if (held.empty()) return;
    if (pick(0, 3) == 0) {
      minutes.push_back(minute_now());
      const std::int64_t more = pick(1, kMostTokens);
      charge(
          limiter, user, [&] { return held.front().add(more, options()); }, more);
    }
    minutes.push_back(minute_now());
    const std::int64_t roll = pick(0, 9);
    if (roll == 0) return;  // dropped: it stays charged
    const std::int64_t charged = held.front().tokens();
    const std::int64_t actual = roll == 1 ? charged + pick(1, 3) : pick(0, charged);
    // Before it is given back, and to each minute that it may have been charged to: others may spend it at once.
    minutes.erase(std::unique(minutes.begin(), minutes.end()), minutes.end());
    for (const std::int64_t minute : minutes) {
      ledger_.add_returned(minute, user, std::max<std::int64_t>(charged - actual, 0));
    }
    held.front().settle(actual);
  }

  std::mt19937_64 random_;
  std::deque<Limiter>& limiters_;
  Ledger& ledger_;
  Counts& counts_;
  std::int64_t first_minute_ = minute_now();
};

std::int64_t resident_kb() {
  std::ifstream status{"/proc/self/status"};
  for (std::string word; status >> word;) {
    if (word != "VmRSS:") continue;
    std::int64_t kb = 0;
    status >> kb;
    return kb;
  }
  return 0;
}

std::int64_t open_descriptors() {
  const std::filesystem::directory_iterator all{"/proc/self/fd"};
  return std::distance(begin(all), end(all)) - 1;  // without the one that reads the folder
}

/// The figures that are checked for growth, at the end of a line.
struct Sample {
  std::int64_t resident_kb = 0;
  std::int64_t keys = 0;  // the most that were seen in its time
  std::int64_t descriptors = 0;
};

class Soak {
 public:
  Soak(double minutes, std::uint64_t seed)
      : minutes_(minutes), line_(minutes >= 2 ? 60s : 10s), seed_(seed), injector_(seed, server_, gate_, ledger_) {
    const std::array<std::string, kClients> urls{server_.url(), gate_.url(), server_.unix_url()};
    for (const std::string& url : urls) clients_.push_back(tollgate::connect(url));
    for (const FailurePolicy policy :
         {FailurePolicy::kThrow, FailurePolicy::kDeny, FailurePolicy::kAllow, FailurePolicy::kLocalShare}) {
      for (const Admission admission : {Admission::kPipelined, Admission::kAtomic}) {
        const std::size_t number = limiters_.size();
        const tollgate::RateLimitConfig config{.max_tokens_per_minute = kLimit,
                                               .admission = admission,
                                               .on_failure = policy,
                                               .deny_memory = number % 3 == 0 ? 0ms : 1000ms,
                                               .local_share = kShare};
        limiters_.emplace_back(policy, clients_.at(number % clients_.size()), config);
      }
    }
  }

  /// Whether all held.
  bool run() {
    fmt::print("seed {}, {} minutes, {} threads, {} limiters on {} clients, {} users\n", seed_, minutes_, kThreads,
               limiters_.size(), clients_.size(), kUsers);
    fmt::print("{:>6} {:>10} {:>8} {:>9} {:>12} {:>7} {:>9} {:>9} {:>6} {:>12}\n", "s", "decisions", "errors",
               "in doubt", "undelivered", "faults", "restarts", "RSS kB", "keys", "descriptors");
    {
      std::vector<std::jthread> threads;  // they stop also when a fault cannot be done, and throws
      for (std::uint64_t i = 1; i <= std::uint64_t{kThreads}; ++i) {
        threads.emplace_back([&, seed = seed_ * 1000 + i](const std::stop_token& stop) {
          Caller caller{seed, limiters_, ledger_, counts_};
          while (!stop.stop_requested()) caller.act();
        });
      }
      disturb();
      injector_.end_faults();
    }
    return judge();
  }

 private:
  void disturb() {
    const auto start = SteadyClock::now();
    const auto end =
        start + std::chrono::duration_cast<SteadyClock::duration>(std::chrono::duration<double>{minutes_ * 60});
    auto next_line = start + line_;
    auto next_look = start;
    while (SteadyClock::now() < end) {
      injector_.inject();
      for (const auto until = SteadyClock::now() + injector_.pick_pause(); SteadyClock::now() < until;) {
        if (SteadyClock::now() >= next_look) {
          keys_ = std::max(keys_, server_.command({"DBSIZE"}).to_integer().value_or(0));
          ledger_.audit(false);
          next_look = SteadyClock::now() + 500ms;
        }
        if (SteadyClock::now() >= next_line) {
          print_line(start);
          next_line += line_;
        }
        std::this_thread::sleep_for(10ms);
      }
    }
    if (next_line - SteadyClock::now() < line_ / 2) print_line(start);
  }

  void print_line(SteadyClock::time_point start) {
    const auto seconds = std::chrono::round<std::chrono::seconds>(SteadyClock::now() - start).count();
    std::uint64_t undelivered = 0;
    for (const Limiter& limiter : limiters_) undelivered += limiter.limiter.undelivered().batches;
    samples_.push_back({resident_kb(), std::exchange(keys_, 0), open_descriptors()});
    const Sample& sample = samples_.back();
    fmt::print("{:>6} {:>10} {:>8} {:>9} {:>12} {:>7} {:>9} {:>9} {:>6} {:>12}\n", seconds, counts_.decisions.load(),
               counts_.errors.load(), counts_.in_doubt.load(), undelivered, injector_.faults(), injector_.restarts(),
               sample.resident_kb, sample.keys, sample.descriptors);
    std::fflush(stdout);
    for (const std::string& key : server_.keys_without_ttl()) {
      // One of this minute may still be given its expiry.
      const std::string minute = key.substr(key.rfind(':') + 1);
      if (std::strtoll(minute.c_str(), nullptr, 10) < minute_now() - 1) complain("never expires: " + key);
    }
  }

  bool judge() {
    for (const auto& client : clients_) {
      if (!client->drain(SteadyClock::now() + 10s)) complain("a client was not drained within 10 s");
    }
    for (const std::string& key : server_.keys_without_ttl()) complain("never expires: " + key);
    ledger_.audit(true);
    fmt::print(
        "{} windows were counted, {} of them to the limit; {} over it; after a restart amid a minute {} tokens over\n",
        ledger_.windows(), ledger_.full(), ledger_.over_admitted(), ledger_.most_after_restart());
    if (ledger_.full() == 0) complain("no budget was exhausted");
    if (ledger_.over_admitted() > 0) complain("more was admitted than the limit");

    const auto longest_ms = counts_.longest_call_us / 1000;
    fmt::print("the longest call of one or two round trips took {} ms\n", longest_ms);
    if (longest_ms > std::chrono::milliseconds{kLongestCall}.count()) complain("a call took more than 5 s");

    if (samples_.size() < 3) {
      fmt::print("too short to determine whether memory grew\n");
    } else {
      const Sample& early = samples_[1];
      const Sample& late = samples_.back();
      check_growth("resident memory in kB", early.resident_kb, late.resident_kb, early.resident_kb * 6 / 5 + 2048);
      // Two windows of every user are no growth, whenever the early line was taken.
      const std::int64_t two_windows = 2 * (kUsers + kOncePerMinute);
      check_growth("keys", early.keys, late.keys, std::max(early.keys, two_windows) * 6 / 5);
      check_growth("descriptors", early.descriptors, late.descriptors, early.descriptors + 6);
    }
    fmt::print("{}\n", held_ ? "all held" : "NOT all held");
    return held_;
  }

  void check_growth(const std::string& what, std::int64_t early, std::int64_t late, std::int64_t allowed) {
    const bool grew = late > allowed;
    fmt::print("{}: {} in the second line, {} in the last, {} allowed: {}\n", what, early, late, allowed,
               grew ? "GREW" : "no growth");
    if (grew) held_ = false;
  }
  void complain(const std::string& what) {
    fmt::print("DOES NOT HOLD: {}\n", what);
    held_ = false;
  }

  const double minutes_;
  const std::chrono::seconds line_;
  const std::uint64_t seed_;
  tollgate::testing::RedisServer server_;
  tollgate::tests::TcpGate gate_{server_.port()};
  Ledger ledger_;
  FaultInjector injector_;
  std::vector<std::shared_ptr<tollgate::RedisClient>> clients_;
  std::deque<Limiter> limiters_;
  Counts counts_;
  std::vector<Sample> samples_;
  std::int64_t keys_ = 0;
  bool held_ = true;
};

}  // namespace
}  // namespace soak

int main(int argc, char** argv) try {
  const double minutes = argc > 1 ? std::atof(argv[1]) : 10;
  if (!(minutes > 0)) {
    fmt::print(stderr, "usage: soak [minutes [seed]]\n");
    return 2;
  }
  const std::uint64_t seed = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : std::random_device{}() % 1'000'000;
  const auto run = std::make_unique<soak::Soak>(minutes, seed);
  return run->run() ? 0 : 1;
} catch (const std::exception& error) {
  fmt::print(stderr, "{}\n", error.what());
  return 1;
}
