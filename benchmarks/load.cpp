// One comparison under load: two sides in turn, on a private redis-server, again and again.
// Usage: load [key=value]…
//   threads=64 rounds=5 seconds=1 users=64 mix=allow|deny|mixed admission=pipelined|atomic deny_memory=off|on
//   transport=tcp|unix|gate|tls clients=1 depth=64
//     gate: a proxy that delays each direction by gate_ms=0.5
//     tls: `ours` speaks TLS to a server of its own, `against` TCP; what TLS costs is tls with against=tollgate
//   rate=0: each thread calls as soon as it can; else so many calls per second, whose latency counts from the moment
//     at which they were due
//   ours=tollgate against=connection_per_thread: the sides; sides.cpp says what they do
// Prints one line of JSON, with all figures of all rounds and the ratios ours : against, round by round; and for people
// one line on stderr.
#include <fmt/format.h>
#include <sys/prctl.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <ctime>
#include <exception>
#include <future>
#include <latch>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "arguments.hpp"
#include "faults/tcp_gate.hpp"
#include "latencies.hpp"
#include "sides.hpp"
#include "tollgate/testing/redis_server.hpp"
#include "users.hpp"

namespace {

using tollgate::benchmarks::Arguments;
using tollgate::benchmarks::Call;
using tollgate::benchmarks::Latencies;
using tollgate::benchmarks::Mix;
using tollgate::benchmarks::Side;
using tollgate::benchmarks::SideOptions;
using tollgate::benchmarks::Users;
using tollgate::testing::RedisServer;
using tollgate::testing::TlsCertificates;
using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

struct Scenario {
  explicit Scenario(Arguments arguments) {
    threads = arguments.number("threads", 64, 1, 4096);
    rounds = arguments.number("rounds", 5, 1, 1000);
    seconds = arguments.number("seconds", 1.0, 0.01, 30.0);
    users = arguments.number("users", 64, 1, 1'000'000);
    mix = arguments.choice("mix", {"allow", "deny", "mixed"});
    admission = arguments.choice("admission", {"pipelined", "atomic"});
    deny_memory = arguments.choice("deny_memory", {"off", "on"});
    transport = arguments.choice("transport", {"tcp", "unix", "gate", "tls"});
    gate_ms = arguments.number("gate_ms", 0.5, 0.0, 1000.0);
    clients = arguments.number("clients", 1, 1, 64);
    depth = arguments.number("depth", 64, 1, 10'000);
    rate = arguments.number("rate", 0.0, 0.0, 10e6);
    const auto& sides = tollgate::benchmarks::side_names();
    ours = arguments.choice("ours", sides);
    against = arguments.choice("against", sides, "connection_per_thread");
    arguments.refuse_others();
  }

  [[nodiscard]] Mix mix_of_users() const {
    return mix == "allow" ? Mix::kAllow : mix == "deny" ? Mix::kDeny : Mix::kMixed;
  }

  [[nodiscard]] SideOptions side_options(const std::string& url) const {
    using tollgate::Admission;
    return {.url = url,
            .threads = threads,
            .clients = clients,
            .depth = depth,
            .config = {.max_tokens_per_minute = Users::kLimit,
                       .admission = admission == "atomic" ? Admission::kAtomic : Admission::kPipelined,
                       .deny_memory = std::chrono::milliseconds{deny_memory == "on" ? 1000 : 0}}};
  }

  int threads;
  int rounds;
  double seconds;
  int users;
  std::string mix;
  std::string admission;
  std::string deny_memory;
  std::string transport;
  double gate_ms;
  int clients;
  int depth;
  double rate;
  std::string ours;
  std::string against;
};

// --- one side's turn

/// Calls are made from a little before, and counted when they end within.
struct Window {
  Clock::time_point warm_up;
  Clock::time_point begin;
  Clock::time_point end;
};

struct LimiterCounters {
  std::int64_t decisions = 0;
  Latencies latencies;
};

LimiterCounters call_again_and_again(const Call& call, const Window& window) {
  LimiterCounters counters;
  for (auto start = Clock::now(); start < window.end;) {
    const int decisions = call();
    const auto end = Clock::now();
    if (end > window.begin && end <= window.end) {
      counters.decisions += decisions;
      counters.latencies.add(end - start);
    }
    start = end;
  }
  return counters;
}

/// Calls are due at fixed times, however long each takes, so that a delayed call counts its waiting time as latency. A
/// call that is due within the window and does not begin in it counts with its waiting time, and without a decision.
LimiterCounters call_when_due(const Call& call, const Window& window, Clock::duration offset,
                              Clock::duration interval) {
  ::prctl(PR_SET_TIMERSLACK, 1UL);  // ns: or else sleeps end up to 50 us late
  LimiterCounters counters;
  for (auto due = window.warm_up + offset; due < window.end; due += interval) {
    std::this_thread::sleep_until(due);
    const bool begins = Clock::now() < window.end;
    const int decisions = begins ? call() : 0;
    const auto end = begins ? Clock::now() : window.end;
    if (end > window.begin && end <= window.end) counters.decisions += decisions;
    if (due >= window.begin) counters.latencies.add(end - due);
  }
  return counters;
}

struct Measured {
  double decisions_per_second = 0;
  double p50_us = 0;
  double p99_us = 0;
  double p999_us = 0;
  double redis_us = 0;  // of CPU per decision
};

/// The CPU time that the process has used.
std::chrono::nanoseconds cpu_time(pid_t process) {
  clockid_t clock{};
  timespec time{};
  if (::clock_getcpuclockid(process, &clock) != 0 || ::clock_gettime(clock, &time) != 0) {
    throw std::runtime_error("cannot read the CPU time of redis-server");
  }
  return std::chrono::seconds{time.tv_sec} + std::chrono::nanoseconds{time.tv_nsec};
}

Measured measure(const Scenario& scenario, const Side& side, const RedisServer& server) {
  std::latch start{1};
  Window window;
  std::vector<std::future<LimiterCounters>> threads;
  threads.reserve(static_cast<std::size_t>(side.threads));
  std::vector<Call> calls;
  calls.reserve(threads.capacity());
  for (int i = 0; i < side.threads; ++i) calls.push_back(side.make_call(i));
  for (const Call& call : calls) {
    threads.push_back(std::async(std::launch::async, [&, number = threads.size()] {
      start.wait();
      if (scenario.rate == 0) return call_again_and_again(call, window);
      const auto between_calls = Seconds{1 / scenario.rate};
      const auto ticks = [](Seconds time) { return std::chrono::duration_cast<Clock::duration>(time); };
      return call_when_due(call, window, ticks(between_calls * number), ticks(between_calls * side.threads));
    }));
  }
  const auto length = std::chrono::duration_cast<Clock::duration>(Seconds{scenario.seconds});
  window.warm_up = Clock::now();
  window.begin = window.warm_up + std::min<Clock::duration>(length / 4, std::chrono::milliseconds{500});
  window.end = window.begin + length;
  start.count_down();

  std::this_thread::sleep_until(window.begin);
  const auto cpu_before = cpu_time(server.pid());
  const auto begin = Clock::now();
  std::this_thread::sleep_until(window.end);
  const Seconds cpu = cpu_time(server.pid()) - cpu_before;
  const Seconds elapsed = Clock::now() - begin;

  LimiterCounters all;
  for (std::future<LimiterCounters>& thread : threads) {
    const LimiterCounters counters = thread.get();
    all.decisions += counters.decisions;
    all.latencies.add(counters.latencies);
  }
  if (all.decisions == 0 || cpu <= Seconds{0}) throw std::runtime_error("nothing was decided: `seconds` is too short");
  const double per_second = static_cast<double>(all.decisions) / scenario.seconds;
  return {.decisions_per_second = per_second * side.factor,
          .p50_us = all.latencies.microseconds_at(0.5),
          .p99_us = all.latencies.microseconds_at(0.99),
          .p999_us = all.latencies.microseconds_at(0.999),
          .redis_us = cpu / elapsed / per_second * 1e6};
}

// --- all rounds

struct Round {
  Measured ours;
  Measured against;
};

std::vector<Round> run(const Scenario& scenario) {
  const RedisServer server;
  std::optional<tollgate::tests::TcpGate> gate;
  std::string url = scenario.transport == "unix" ? server.unix_url() : server.url();
  if (scenario.transport == "gate") {
    url = gate.emplace(server.port()).url();
    gate->delay(std::chrono::round<std::chrono::microseconds>(Seconds{scenario.gate_ms / 1000}));
  }
  std::optional<TlsCertificates> certificates;
  std::optional<RedisServer> tls_server;
  if (scenario.transport == "tls") tls_server.emplace(certificates.emplace());
  const Users users{scenario.users, scenario.mix_of_users()};
  const auto take_turn_on = [&](const RedisServer& its_server, const std::string& its_url, const std::string& name) {
    users.prepare(its_server);
    return measure(scenario, make_side(name, scenario.side_options(its_url), users), its_server);
  };
  const auto take_turn_of_ours = [&] {
    return tls_server ? take_turn_on(*tls_server, tls_server->url(), scenario.ours)
                      : take_turn_on(server, url, scenario.ours);
  };
  std::vector<Round> rounds(static_cast<std::size_t>(scenario.rounds));
  bool ours_first = false;
  for (Round& round : rounds) {  // the order changes, so that a drift of the machine favours no side
    ours_first = !ours_first;
    if (ours_first) round.ours = take_turn_of_ours();
    round.against = take_turn_on(server, url, scenario.against);
    if (!ours_first) round.ours = take_turn_of_ours();
  }
  return rounds;
}

struct Spread {
  double lowest;
  double lower_quartile;
  double median;
  double upper_quartile;
  double highest;
};

Spread spread(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const auto at = [&](double quantile) {
    const double rank = quantile * static_cast<double>(values.size() - 1);
    const auto below = static_cast<std::size_t>(rank);
    const auto above = std::min(below + 1, values.size() - 1);
    return values[below] + (rank - std::floor(rank)) * (values[above] - values[below]);
  };
  return {at(0), at(0.25), at(0.5), at(0.75), at(1)};
}

Spread ratio(const std::vector<Round>& rounds, double Measured::*figure) {
  std::vector<double> ratios;
  ratios.reserve(rounds.size());
  for (const Round& round : rounds) ratios.push_back(round.ours.*figure / round.against.*figure);
  return spread(std::move(ratios));
}

double median(const std::vector<Round>& rounds, Measured Round::*side, double Measured::*figure) {
  std::vector<double> values;
  values.reserve(rounds.size());
  for (const Round& round : rounds) values.push_back(round.*side.*figure);
  return spread(std::move(values)).median;
}

// --- printing

struct Figure {
  const char* name;
  double Measured::*value;
};
constexpr std::array kFigures{Figure{"decisions_per_second", &Measured::decisions_per_second},
                              Figure{"p50_us", &Measured::p50_us}, Figure{"p99_us", &Measured::p99_us},
                              Figure{"p999_us", &Measured::p999_us}, Figure{"redis_cpu_us", &Measured::redis_us}};

std::string json(const Scenario& s) {
  return fmt::format(
      R"({{"threads":{},"rounds":{},"seconds":{},"users":{},"mix":"{}","admission":"{}","deny_memory":"{}",)"
      R"("transport":"{}","gate_ms":{},"clients":{},"depth":{},"rate":{},"ours":"{}","against":"{}"}})",
      s.threads, s.rounds, s.seconds, s.users, s.mix, s.admission, s.deny_memory, s.transport, s.gate_ms, s.clients,
      s.depth, s.rate, s.ours, s.against);
}

/// An object with a member for each figure, whose value `text_of` makes.
template <class TextOf>
std::string json_of_figures(TextOf text_of) {
  std::vector<std::string> members;
  members.reserve(kFigures.size());
  for (const Figure& figure : kFigures) members.push_back(fmt::format(R"("{}":{})", figure.name, text_of(figure)));
  return fmt::format("{{{}}}", fmt::join(members, ","));
}

std::string json(const Measured& measured) {
  return json_of_figures([&](const Figure& figure) { return fmt::format("{:.6g}", measured.*figure.value); });
}

std::string json(const Spread& s) {
  return fmt::format(
      R"({{"lowest":{:.4g},"lower_quartile":{:.4g},"median":{:.4g},"upper_quartile":{:.4g},"highest":{:.4g}}})",
      s.lowest, s.lower_quartile, s.median, s.upper_quartile, s.highest);
}

void print(const Scenario& scenario, const std::vector<Round>& rounds) {
  std::vector<std::string> lines;
  lines.reserve(rounds.size());
  for (const Round& round : rounds) {
    lines.push_back(fmt::format(R"({{"ours":{},"against":{}}})", json(round.ours), json(round.against)));
  }
  fmt::print("{{\"parameters\":{},\"rounds\":[{}],\"ratios\":{}}}\n", json(scenario), fmt::join(lines, ","),
             json_of_figures([&](const Figure& figure) { return json(ratio(rounds, figure.value)); }));

  const auto ratio_text = [&](double Measured::*figure) {
    const Spread s = ratio(rounds, figure);
    return fmt::format("{:.2f} ({:.2f} … {:.2f})", s.median, s.lowest, s.highest);
  };
  fmt::print(stderr, "{} : {}, {} threads: {:.1f} k/s : {:.1f} k/s = {}; p50 {}; p99 {}; Redis CPU {}\n", scenario.ours,
             scenario.against, scenario.threads, median(rounds, &Round::ours, &Measured::decisions_per_second) / 1000,
             median(rounds, &Round::against, &Measured::decisions_per_second) / 1000,
             ratio_text(&Measured::decisions_per_second), ratio_text(&Measured::p50_us), ratio_text(&Measured::p99_us),
             ratio_text(&Measured::redis_us));
}

}  // namespace

int main(int argc, char** argv) try {
  const Scenario scenario{Arguments{argc, argv}};
  print(scenario, run(scenario));
} catch (const std::exception& error) {
  fmt::print(stderr, "load: {}\n", error.what());
  return 1;
}
