/// The fixture of the tests of ConnectionMachine: a machine that is driven step by step, without socket, thread and
/// clock. Thread safety: one test.
#pragma once

#include "transport/connection_machine.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "transport/resp_encoder.hpp"

namespace tollgate::tests {

using namespace std::chrono_literals;
using Action = ConnectionMachine::Action;
using GivenUp = ConnectionMachine::GivenUp;
using Handle = ConnectionMachine::Handle;
using Server = ConnectionMachine::Server;
using Time = ConnectionMachine::Time;

inline constexpr Time kStart{1h};
inline constexpr auto kCommandTimeout = 250ms;

inline constexpr const char* kGet = "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n";

inline CommandBatch get(std::string_view key = "k") {
  CommandBatch batch;
  batch.get(key);
  return batch;
}

/// Notes what the machine requires.
class RecordingDriver final : public ConnectionMachine::Driver {
 public:
  void close_connection(const Failure& why) noexcept override { log_ += "closed: " + why.detail + '\n'; }
  void circuit_opened(const Failure&) noexcept override { log_ += "circuit opened\n"; }
  void circuit_closed() noexcept override { log_ += "circuit closed\n"; }
  void login_refused(const Failure& why, Time, bool is_first) noexcept override {
    log_ += "login refused" + std::string{is_first ? ", first: " : ": "} + why.detail + '\n';
  }

  /// What was required since the last call.
  std::string log() { return std::exchange(log_, {}); }

 private:
  std::string log_;
};

class ConnectionMachineTest : public ::testing::Test {
 protected:
  Handle call(const CommandBatch& batch) {
    std::string bytes;
    const Serial serial = machine_.take_serial(batch);
    append_resp(bytes, batch, serial);
    return machine_.add_call(batch, serial, bytes, nullptr, now_, refusal_).value();
  }
  Handle call() { return call(get_); }
  bool is_refused() {
    std::string bytes;
    append_resp(bytes, get_, 0);
    return !machine_.add_call(get_, 0, bytes, nullptr, now_, refusal_).has_value();
  }
  bool post() {
    CommandBatch batch = get_;
    std::shared_ptr<ReplyHandler> none;
    return machine_.add_post(batch, machine_.take_serial(batch), kGet, none, now_);
  }
  void connect(bool has_answered = true) {
    EXPECT_TRUE(machine_.begin_connecting(now_, finished_));
    machine_.connected(now_, has_answered, login_);
  }
  void fail_to_connect() {
    EXPECT_TRUE(machine_.begin_connecting(now_, finished_));
    machine_.connect_failed({Errc::kConnectFailed, false, "refused"}, now_, finished_);
  }
  /// The bytes that are sent; the peer takes all but `unsent` of them.
  std::string send(std::size_t unsent = 0) {
    machine_.begin_sending(now_, outgoing_, finished_);
    std::string sent = outgoing_.substr(0, outgoing_.size() - unsent);
    const std::size_t kept = machine_.sent(unsent, false, finished_);
    outgoing_ = outgoing_.substr(sent.size(), kept);
    return sent;
  }
  void receive(std::vector<Reply> replies) { machine_.received(replies, {}, false, now_, finished_); }
  void receive_end() {
    std::vector<Reply> none;
    machine_.received(none, {Errc::kConnectionLost, true, "Redis closed it"}, false, now_, finished_);
  }
  GivenUp time_out(Handle exchange) {
    Failure failure{Errc::kTimeout};
    return machine_.time_out(exchange, now_, failure, finished_);
  }
  /// The exchanges that have ended since the last call, oldest first.
  std::vector<Handle> ended() {
    std::vector<Handle> handles;
    while (!finished_.empty()) handles.push_back(finished_.pop_front().self);
    return handles;
  }
  /// Opens the circuit by failed attempts to connect.
  void open_circuit() {
    call();
    fail_to_connect();
    ASSERT_EQ(ended().size(), 1U);
    ASSERT_EQ(driver_.log(), "circuit opened\n");
  }

  const CommandBatch get_ = get();
  ScriptList scripts_;
  RecordingDriver driver_;
  std::shared_ptr<ScriptPreload> preload_ = std::make_shared<ScriptPreload>(scripts_);
  ConnectionMachine machine_{driver_, kCommandTimeout, preload_, ConnectionMachine::Use::kCalls, 1};
  FinishedExchanges finished_;
  Failure refusal_;
  std::string outgoing_;
  Time now_ = kStart;
  LoginRenewal login_;
};

}  // namespace tollgate::tests
