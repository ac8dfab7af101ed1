/// The faults of the soak, at random. Thread safety: one thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <thread>

#include "faults/tcp_gate.hpp"
#include "soak_ledger.hpp"
#include "tollgate/testing/redis_server.hpp"

namespace soak {

using namespace std::chrono_literals;

/// Does one thing to the server, or to the network before it, at a time.
class FaultInjector {
 public:
  FaultInjector(std::uint64_t seed, tollgate::testing::RedisServer& server, tollgate::tests::TcpGate& gate,
                Ledger& ledger)
      : random_(seed), server_(server), gate_(gate), ledger_(ledger) {}

  void inject() {
    ++faults_;
    gate_.delay(0us);  // slowness lasts until the next fault
    gate_.fragment(0);
    switch (pick(0, 19)) {
      case 0:
      case 1:
      case 2: return stop_for(std::chrono::milliseconds{pick(10, 1000)});
      case 3:
      case 4:
      case 5: server_.command({"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"}); return;
      case 6:
      case 7: server_.command({"SCRIPT", "FLUSH"}); return;
      case 8:
      case 9:
        server_.command({"CLIENT", "PAUSE", std::to_string(pick(10, 500)), pick(0, 1) == 0 ? "ALL" : "WRITE"});
        return;
      case 10: return restart();
      case 11:
      case 12:
      case 13: return gate_.cut();
      case 14: return gate_.cut_after_reply_bytes(static_cast<std::size_t>(pick(0, 300)));
      case 15: return gate_.cut_after_request_bytes(static_cast<std::size_t>(pick(0, 300)));
      case 16: return gate_.delay(std::chrono::microseconds{pick(100, 20'000)});
      case 17: return gate_.fragment(static_cast<std::size_t>(pick(20, 2000)));
      case 18: return withhold_for(std::chrono::milliseconds{pick(10, 600)});
      default: return refuse_for(std::chrono::milliseconds{pick(10, 600)});
    }
  }

  void end_faults() {
    gate_.delay(0us);
    gate_.fragment(0);
    gate_.cut();  // also what was to be cut later
  }

  [[nodiscard]] std::chrono::milliseconds pick_pause() { return std::chrono::milliseconds{pick(20, 1500)}; }
  [[nodiscard]] int faults() const { return faults_; }
  [[nodiscard]] int restarts() const { return restarts_; }

 private:
  std::int64_t pick(std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>{low, high}(random_);
  }

  void stop_for(std::chrono::milliseconds time) {
    server_.pause();
    std::this_thread::sleep_for(time);
    server_.resume();
  }
  void restart() {
    ++restarts_;
    ledger_.begin_restart();
    if (pick(0, 1) == 0) server_.kill();
    std::this_thread::sleep_for(std::chrono::milliseconds{pick(0, 500)});
    server_.restart();
    ledger_.end_restart();
  }
  void withhold_for(std::chrono::milliseconds time) {
    gate_.pass_replies(false);
    std::this_thread::sleep_for(time);
    gate_.pass_replies(true);
  }
  void refuse_for(std::chrono::milliseconds time) {
    gate_.refuse(true);
    gate_.cut();
    std::this_thread::sleep_for(time);
    gate_.refuse(false);
  }

  std::mt19937_64 random_;
  tollgate::testing::RedisServer& server_;
  tollgate::tests::TcpGate& gate_;
  Ledger& ledger_;
  int faults_ = 0;
  int restarts_ = 0;
};

}  // namespace soak
