/// A fault of the suite and its environment: a server, the load on it, and the gate between them.
/// Thread safety: one thread.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <optional>
#include <ostream>
#include <string>
#include <thread>
#include <vector>

#include "faults/fault_load.hpp"
#include "faults/tcp_gate.hpp"
#include "tollgate/testing/redis_server.hpp"

namespace tollgate::tests {

using namespace std::chrono_literals;
using testing::RedisServer;

/// Whether `holds` becomes true within 10 s.
[[nodiscard]] bool soon(const std::function<bool()>& holds);

class Scene;

struct Fault {
  std::string name;  // of the test
  std::string what;  // in the table
  bool calls_fail;   // so that a fault that does nothing is noticed
  void (*run)(Scene&);
  int lives_lost = 0;  // how often Redis loses its data
  std::vector<std::string> server_arguments = {};
};

inline void PrintTo(const Fault& fault, std::ostream* out) { *out << fault.what; }

/// A server, the load, and the gate between them.
class Scene {
 public:
  explicit Scene(const Fault& fault) : fault_(fault), server_(fault.server_arguments) {}

  [[nodiscard]] RedisServer& server() { return server_; }
  RedisServer& make_replica() {
    const std::string primary = "127.0.0.1 " + std::to_string(server_.port());
    return replica_.emplace(std::vector<std::string>{"--replicaof", primary});
  }
  [[nodiscard]] TcpGate& gate() {
    if (!gate_) gate_.emplace(server_.port());  // after the processes were forked
    return *gate_;
  }
  [[nodiscard]] FaultLoad& load() { return load_; }
  [[nodiscard]] Account& account() { return load_.account(); }

  void begin() { begin(server_.url(), server_.url()); }
  void begin_through_gate() { begin(gate().url(), gate().url()); }
  void begin(const std::string& first_url, const std::string& second_url) {
    load_.begin(first_url, second_url);
    EXPECT_TRUE(soon([&] { return load_.granted() > 100; }));
  }
  [[nodiscard]] std::string url_with(const std::string& user_info) const {
    return "redis://" + user_info + "@127.0.0.1:" + std::to_string(server_.port()) + "/0";
  }
  [[nodiscard]] std::string url_of_host(const std::string& host) const {
    return "redis://" + host + ":" + std::to_string(server_.port()) + "/0";
  }

  void lasts(std::chrono::milliseconds time) const { std::this_thread::sleep_for(time); }
  void every(std::chrono::milliseconds interval, int times, const std::function<void()>& act) const {
    for (int i = 0; i < times; ++i) {
      act();
      std::this_thread::sleep_for(interval);
    }
  }
  /// The fault is over. Both processes are served again, by `server` from now on, and exhaust a budget that was fresh.
  void recovers() { recovers_on(server_); }
  void recovers_on(RedisServer& server) {
    audited_ = &server;
    for (auto& granted : account().granted) {
      const std::int64_t before = granted;
      EXPECT_TRUE(soon([&] { return granted > before + 20; })) << "a process is not served again";
    }
    const auto fresh = std::find_if(account().budgets.begin(), account().budgets.begin() + Account::kLoadUsers,
                                    [](const Budget& budget) { return budget.calls == 0; });
    const auto exhausted = [](const Budget& budget) { return budget.peak + kMostTokens > kBudget; };
    const auto end = account().budgets.begin() + Account::kLoadUsers;
    EXPECT_TRUE(soon([&] { return std::any_of(fresh, end, exhausted); }));
  }

  /// Ends the load, and compares the recorded decisions with the counters in Redis.
  void audit();

 private:
  void print(std::int64_t held, std::int64_t users, std::int64_t over_admitted, std::int64_t in_doubt,
             std::size_t immortal);

  const Fault& fault_;
  RedisServer server_;
  std::optional<RedisServer> replica_;
  std::optional<TcpGate> gate_;
  FaultLoad load_;
  RedisServer* audited_ = &server_;
};

/// The faults of the server and of its name, in the order of the table.
[[nodiscard]] const std::vector<Fault>& server_faults();
/// The faults of the network and of the stream of replies, in the order of the table.
[[nodiscard]] const std::vector<Fault>& network_faults();

}  // namespace tollgate::tests
