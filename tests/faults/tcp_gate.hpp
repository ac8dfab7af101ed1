/// A TCP proxy on loopback between a client and a server, with faults on demand: it withholds, fragments, delays, cuts,
/// swallows, invents and refuses, and counts what passes.
/// Thread safety: every function may be called from all threads.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <limits>
#include <list>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

namespace tollgate::tests {

class TcpGate {
 public:
  explicit TcpGate(std::uint16_t server_port);
  ~TcpGate();
  TcpGate(const TcpGate&) = delete;
  TcpGate& operator=(const TcpGate&) = delete;

  [[nodiscard]] std::uint16_t port() const noexcept { return port_; }
  [[nodiscard]] std::string url() const { return "redis://127.0.0.1:" + std::to_string(port_) + "/0"; }

  /// Whether bytes are forwarded; those received meanwhile are kept.
  void pass_requests(bool pass) {
    change([&] { pass_requests_ = pass; });
  }
  void pass_replies(bool pass) {
    change([&] { pass_replies_ = pass; });
  }
  /// Forwards replies for so many more turns, and then withholds them.
  void pass_reply_turns(int turns) {
    change([&] { reply_turns_left_ = turns; });
  }
  /// At most so many bytes at a time, and so far apart; 0 = whole.
  void fragment(std::size_t bytes, std::chrono::microseconds apart = std::chrono::milliseconds{1}) {
    change([&] { fragment_ = bytes, apart_ = apart; });
  }
  /// Every chunk arrives so much later, in both directions.
  void delay(std::chrono::microseconds by) {
    change([&] { delay_ = by; });
  }
  /// After so many more bytes of requests, all connections are reset.
  void cut_after_request_bytes(std::size_t bytes) {
    change([&] { request_bytes_left_ = bytes; });
  }
  /// After so many more bytes of replies, all connections are reset. 0: the next reply is swallowed whole.
  void cut_after_reply_bytes(std::size_t bytes) {
    change([&] { reply_bytes_left_ = bytes; });
  }
  /// Inserts these bytes before the next reply of the server, on one connection.
  void insert_into_replies(std::string bytes) {
    change([&] { inserted_ = std::move(bytes); });
  }
  /// Sends these bytes to every client now, without a request.
  void say_to_clients(const std::string& bytes) {
    change([&] {
      for (Link& link : links_) link.replies.chunks.push_back({Clock::now(), bytes});
    });
  }
  /// So many replies never arrive, and the connection stays: the first whole one of each chunk that the server sends.
  void swallow_replies(int count) {
    change([&] { replies_to_swallow_ = count; });
  }
  /// From now on no byte passes on the connections that are open, in either direction, and none of them ends: a path
  /// whose packets are dropped. New connections pass.
  void black_hole() {
    change([&] {
      for (Link& link : links_) link.dropped = true;
    });
  }
  /// A connection is closed, and what it sent is dropped, when its client sends a chunk that holds `word`; empty =
  /// none.
  void close_on(std::string word) {
    change([&] { closed_on_ = std::move(word); });
  }
  /// New connections lead to this port.
  void lead_to(std::uint16_t server_port) {
    change([&] { server_port_ = server_port; });
  }
  /// New connections are closed at once.
  void refuse(bool refuse) {
    change([&] { refuse_ = refuse; });
  }
  /// Resets all connections, now.
  void cut() {
    change([&] { cut_ = true; });
  }

  [[nodiscard]] int connections() const { return connections_; }
  /// How many of them have ended.
  [[nodiscard]] int ended_connections() const { return ended_connections_; }
  /// How often all connections were reset on demand.
  [[nodiscard]] int cuts() const { return cuts_; }
  /// How many connections close_on() closed.
  [[nodiscard]] int closed_on_word() const { return closed_on_word_; }
  [[nodiscard]] std::size_t request_bytes() const { return request_bytes_; }
  [[nodiscard]] std::size_t reply_bytes() const { return reply_bytes_; }
  /// How often the server began to answer after the client had spoken: round trips, for a client that waits for each.
  [[nodiscard]] int turns() const { return turns_; }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr std::size_t kUnlimited = std::numeric_limits<std::size_t>::max();

  struct Chunk {
    Clock::time_point due;
    std::string bytes;
  };
  struct Pipe {
    std::deque<Chunk> chunks;
    Clock::time_point next_fragment;
  };
  struct Link {
    int client;
    int server;
    Pipe requests;
    Pipe replies;
    bool client_spoke = false;
    bool dropped = false;
    bool ended = false;
  };

  template <class Change>
  void change(Change make) {
    const std::lock_guard lock{mutex_};
    make();
    wake();
  }
  void wake() const;
  void run();
  void accept_link();
  void take_in(Link& link, bool from_client);
  void falsify(std::string& replies);
  void let_out(Link& link, bool to_server);
  void reset_all();
  [[nodiscard]] Clock::time_point earliest_due() const;  // max: nothing is
  [[nodiscard]] int connect_to_server() const;

  std::uint16_t port_ = 0;
  int listener_ = -1;
  int wake_[2] = {-1, -1};
  std::atomic<bool> stop_{false};
  std::atomic<int> connections_{0};
  std::atomic<int> ended_connections_{0};
  std::atomic<int> cuts_{0};
  std::atomic<int> turns_{0};
  std::atomic<int> closed_on_word_{0};
  std::atomic<std::size_t> request_bytes_{0};
  std::atomic<std::size_t> reply_bytes_{0};

  std::mutex mutex_;
  std::uint16_t server_port_;
  std::list<Link> links_;
  bool pass_requests_ = true;
  bool pass_replies_ = true;
  bool refuse_ = false;
  bool cut_ = false;
  int reply_turns_left_ = std::numeric_limits<int>::max();
  int replies_to_swallow_ = 0;
  std::string inserted_;
  std::string closed_on_;
  std::size_t fragment_ = 0;
  std::size_t request_bytes_left_ = kUnlimited;
  std::size_t reply_bytes_left_ = kUnlimited;
  std::chrono::microseconds apart_{0};
  std::chrono::microseconds delay_{0};
  std::thread thread_;
};

}  // namespace tollgate::tests
