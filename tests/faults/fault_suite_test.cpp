// Every fault against a real server, under load from two processes of four threads, and an account at its end: each
// call answered in time, no budget exceeded, no counter without expiry. Prints a row of a table per fault;
// scripts/faults prints the table.

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <iomanip>
#include <iostream>
#include <optional>
#include <ostream>
#include <sstream>
#include <thread>
#include <vector>

#include "faults/fault_load.hpp"
#include "faults/made_up_names.hpp"
#include "faults/tcp_gate.hpp"
#include "tollgate/connect.hpp"
#include "tollgate/testing/redis_server.hpp"

namespace tollgate::tests {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using testing::RedisServer;

/// Whether `holds` becomes true within 10 s.
bool soon(const std::function<bool()>& holds) {
  for (const auto end = Clock::now() + 10s; Clock::now() < end;) {
    if (holds()) return true;
    std::this_thread::sleep_for(2ms);
  }
  return holds();
}

/// Sockets that are connected to a port and say nothing.
class IdleSockets {
 public:
  IdleSockets(std::uint16_t port, std::size_t count) : sockets_(count) {
    for (int& socket : sockets_) {
      socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
      sockaddr_in address{};
      address.sin_family = AF_INET;
      address.sin_port = htons(port);
      address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      static_cast<void>(::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    }
  }
  ~IdleSockets() {
    for (const int socket : sockets_) ::close(socket);
  }
  IdleSockets(const IdleSockets&) = delete;
  IdleSockets& operator=(const IdleSockets&) = delete;

 private:
  std::vector<int> sockets_;
};

/// A port where connecting is never answered: somebody listens, and never accepts.
class SilentPort {
 public:
  SilentPort() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), length) != 0 || ::listen(listener_, 0) != 0 ||
        ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length) != 0) {
      throw std::runtime_error("cannot listen");
    }
    port_ = ntohs(address.sin_port);
    queue_.emplace(port_, 4);  // what it has room for, and more
  }
  ~SilentPort() { ::close(listener_); }
  SilentPort(const SilentPort&) = delete;
  SilentPort& operator=(const SilentPort&) = delete;

  [[nodiscard]] std::string port() const { return std::to_string(port_); }

 private:
  int listener_;
  std::uint16_t port_ = 0;
  std::optional<IdleSockets> queue_;
};

class Scene;

struct Fault {
  std::string name;  // of the test
  std::string what;  // in the table
  bool calls_fail;   // so that a fault that does nothing is noticed
  void (*run)(Scene&);
  int lives_lost = 0;  // how often Redis forgets what callers were told
  std::vector<std::string> server_arguments = {};
};

void PrintTo(const Fault& fault, std::ostream* out) { *out << fault.what; }

/// A server, the load, and what stands between them.
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

  /// Ends the load, and holds what callers were told against what Redis counted.
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

void Scene::audit() {
  EXPECT_TRUE(load_.finish()) << "a process of the load failed";
  EXPECT_EQ(account().undrained, 0);
  EXPECT_EQ(account().in_time, account().calls);
  EXPECT_EQ(account().failed[0], 0) << "calls failed for a reason that is not Redis's";
  EXPECT_GE(load_.failed(), fault_.calls_fail ? 1 : 0) << "the fault does nothing";

  // A budget more for each life of the counter that Redis lost, and what was being charged and undone at that moment.
  const std::int64_t lost = fault_.lives_lost;
  const std::int64_t in_flight = std::int64_t{2} * kLoadProcesses * kThreadsPerProcess * kMostTokens;
  const std::int64_t bound = kBudget + lost * (kBudget + in_flight);
  std::int64_t users = 0;
  std::int64_t held = 0;
  std::int64_t in_doubt = 0;
  std::int64_t unsaid = 0;
  std::int64_t over_admitted = 0;
  std::int64_t counted = 0;
  for (int user = 0; user < Account::kUsers; ++user) {
    const Budget& budget = account().budgets[static_cast<std::size_t>(user)];
    if (budget.calls == 0) continue;
    const std::int64_t counter = audited_->command({"GET", FaultLoad::key_of(user)}).to_integer().value_or(0);
    EXPECT_LE(budget.peak, bound) << Caller::name_of(user);
    const std::int64_t told = lost == 0 ? budget.held.load() : bound;
    EXPECT_LE(counter, told + budget.in_doubt + budget.unsaid + account().undelivered) << Caller::name_of(user);
    EXPECT_GE(counter, lost == 0 ? told : 0) << Caller::name_of(user);
    ++users;
    held += budget.held;
    in_doubt += budget.in_doubt;
    unsaid += budget.unsaid;
    over_admitted += std::max<std::int64_t>(budget.peak - kBudget, 0);
    counted += counter;
  }
  EXPECT_TRUE(lost > 0 || counted <= held + in_doubt + unsaid + account().undelivered) << counted;
  const auto immortal = audited_->keys_without_ttl();
  EXPECT_THAT(immortal, ::testing::IsEmpty());
  print(held, users, over_admitted, in_doubt, immortal.size());
}

void Scene::print(std::int64_t held, std::int64_t users, std::int64_t over_admitted, std::int64_t in_doubt,
                  std::size_t immortal) {
  std::ostringstream row;
  row << "| " << fault_.what << " | " << account().calls << " | " << std::fixed << std::setprecision(2)
      << 100.0 * static_cast<double>(account().in_time) / static_cast<double>(account().calls) << " % | " << held
      << " / " << users * kBudget << " | " << over_admitted;
  if (fault_.lives_lost > 0) row << " (Redis forgot " << fault_.lives_lost << " ×)";
  row << " | " << in_doubt << " | " << immortal << " |\n";
  std::cout << row.str() << std::flush;
  std::ostringstream failures;
  for (std::size_t i = 0; i < account().failed.size(); ++i) {
    if (account().failed[i] == 0) continue;
    failures << "  " << account().failed[i] << " × " << make_error_code(static_cast<Errc>(i)).message() << '\n';
  }
  std::cout << failures.str() << std::flush;
}

// ---- the server: signals ------------------------------------------------------------------------------------------

void freeze(Scene& scene) {
  scene.begin();
  scene.server().pause();
  scene.lasts(5s);
  scene.server().resume();
  scene.recovers();
}

void kill_and_restart(Scene& scene) {
  scene.begin();
  scene.server().kill();
  scene.lasts(300ms);
  scene.server().restart();
  scene.recovers();
}

// ---- the server: commands -----------------------------------------------------------------------------------------

void pause_clients(Scene& scene) {
  scene.begin();
  scene.server().command({"CLIENT", "PAUSE", "600", "ALL"});
  scene.lasts(700ms);
  scene.server().command({"CLIENT", "PAUSE", "400", "WRITE"});
  scene.lasts(500ms);
  scene.recovers();
}

void kill_clients(RedisServer& server) { server.command({"CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"}); }

void kill_clients_repeatedly(Scene& scene) {
  scene.begin();
  scene.every(50ms, 20, [&] { kill_clients(scene.server()); });
  scene.recovers();
}

void flush_scripts(Scene& scene) {
  scene.begin();
  scene.every(10ms, 80, [&] {
    scene.server().command({"SCRIPT", "FLUSH"});
    scene.server().command({"FUNCTION", "FLUSH"});
  });
  scene.recovers();
  EXPECT_EQ(scene.account().failed[static_cast<std::size_t>(Errc::kServerError)], 0);
}

void fill_memory(Scene& scene) {
  scene.server().command({"CONFIG", "SET", "maxmemory-policy", "noeviction"});
  scene.begin();
  scene.server().command({"CONFIG", "SET", "maxmemory", "1"});
  scene.lasts(700ms);
  scene.server().command({"CONFIG", "SET", "maxmemory", "0"});
  scene.recovers();
  EXPECT_GT(scene.account().failed[static_cast<std::size_t>(Errc::kOutOfMemory)], 0);
}

/// While there is no room at all, every counter is evicted and none is made: each time costs each counter one life.
void evict_counters(Scene& scene) {
  scene.server().command({"CONFIG", "SET", "maxmemory-policy", "volatile-lru"});
  scene.begin();
  scene.every(250ms, 2, [&] {
    scene.server().command({"CONFIG", "SET", "maxmemory", "1"});
    scene.lasts(100ms);
    scene.server().command({"CONFIG", "SET", "maxmemory", "0"});
  });
  scene.recovers();
  const std::string stats = scene.server().command({"INFO", "stats"}).text();
  EXPECT_THAT(stats, ::testing::Not(::testing::HasSubstr("evicted_keys:0\r")));
}

/// What reached the old primary after the replica had been promoted is lost: at most a budget more.
void promote_a_replica(Scene& scene) {
  RedisServer& replica = scene.make_replica();
  const auto in_step = [&] {
    return replica.command({"INFO", "replication"}).text().find("master_link_status:up") != std::string::npos;
  };
  ASSERT_TRUE(soon(in_step));
  scene.begin_through_gate();
  scene.lasts(1200ms);  // a server that answers READONLY is left when it has been connected to for a second
  replica.command({"REPLICAOF", "NO", "ONE"});
  scene.gate().lead_to(replica.port());
  scene.server().command({"REPLICAOF", "127.0.0.1", std::to_string(replica.port())});
  scene.recovers_on(replica);
  EXPECT_GT(scene.account().failed[static_cast<std::size_t>(Errc::kReadOnly)], 0);
  EXPECT_TRUE(scene.server().keys_without_ttl().empty());
}

void change_the_password(Scene& scene) {
  scene.server().command({"CONFIG", "SET", "requirepass", "first"});
  scene.begin(scene.url_with(":first"), scene.url_with(":first"));
  scene.server().command({"CONFIG", "SET", "requirepass", "second"});
  kill_clients(scene.server());
  scene.lasts(600ms);
  EXPECT_GT(scene.account().failed[static_cast<std::size_t>(Errc::kAuthFailed)], 0);
  scene.server().command({"ACL", "SETUSER", "default", ">first"});
  scene.recovers();
}

void start_with_a_wrong_password(Scene& scene) {
  scene.server().command({"CONFIG", "SET", "requirepass", "right"});
  scene.begin(scene.url_with(":right"), scene.url_with(":wrong"));
  scene.lasts(600ms);
  EXPECT_EQ(scene.account().granted[1], 0);
  EXPECT_GT(scene.account().failed[static_cast<std::size_t>(Errc::kAuthFailed)], 0);
  scene.server().command({"ACL", "SETUSER", "default", ">wrong"});
  scene.recovers();
}

void close_idle_connections(Scene& scene) {
  scene.server().command({"CONFIG", "SET", "timeout", "1"});
  scene.begin();
  scene.account().idle = true;
  const auto only_ours = [&] {
    return scene.server().command({"INFO", "clients"}).text().find("connected_clients:1\r") != std::string::npos;
  };
  EXPECT_TRUE(soon(only_ours));
  scene.account().idle = false;
  scene.recovers();
}

void reach_maxclients(Scene& scene) {
  scene.server().command({"CONFIG", "SET", "maxclients", "10"});
  scene.begin_through_gate();
  {
    scene.gate().refuse(true);
    scene.gate().cut();
    const IdleSockets crowd{scene.server().port(), 20};
    scene.lasts(50ms);
    scene.gate().refuse(false);
    scene.lasts(700ms);
  }
  scene.recovers();
  EXPECT_EQ(scene.server().command({"INFO", "stats"}).text().find("rejected_connections:0\r"), std::string::npos);
}

// ---- names --------------------------------------------------------------------------------------------------------

void look_up_a_slow_name(Scene& scene) {
  const std::string url = scene.url_of_host(std::string{kSlowName});
  scene.begin(url, url);
  EXPECT_GT(scene.load().failed(), 0);
  kill_clients(scene.server());
  scene.recovers();
}

void look_up_a_name_that_does_not_exist(Scene& scene) {
  scene.begin(scene.server().url(), scene.url_of_host("no-such-host.invalid"));
  scene.lasts(1s);
  EXPECT_EQ(scene.account().granted[1], 0);
}

/// Of two addresses the first is silent: it costs its share of the connect timeout.
void look_up_a_name_whose_first_address_is_dead(Scene& scene) {
  const SilentPort silent;
  const std::string url = scene.url_of_host(std::string{kDeadFirstName} + silent.port());
  scene.begin(url, url);
  kill_clients(scene.server());
  scene.recovers();
}

// ---- the network --------------------------------------------------------------------------------------------------

void delay(Scene& scene) {
  scene.begin_through_gate();
  scene.gate().delay(40ms);
  scene.lasts(800ms);
  scene.gate().delay(0ms);
  scene.recovers();
}

/// Held back and then delivered; held back and then lost.
void swallow(Scene& scene, void (TcpGate::*pass)(bool)) {
  scene.begin_through_gate();
  for (const bool lost : {false, true}) {
    (scene.gate().*pass)(false);
    scene.lasts(500ms);
    if (lost) scene.gate().cut();
    (scene.gate().*pass)(true);
    scene.recovers();
  }
}

void lose_requests(Scene& scene) { swallow(scene, &TcpGate::pass_requests); }
void lose_replies(Scene& scene) { swallow(scene, &TcpGate::pass_replies); }

void drop_replies_after_the_commit(Scene& scene) {
  scene.begin_through_gate();
  scene.every(30ms, 30, [&] { scene.gate().cut_after_reply_bytes(0); });
  scene.recovers();
}

void send_single_bytes(Scene& scene) {
  scene.begin_through_gate();
  scene.gate().fragment(1, 0us);
  scene.lasts(1s);
  scene.gate().fragment(0);
  scene.recovers();
}

void insert(Scene& scene, const std::string& bytes) {
  scene.begin_through_gate();
  scene.every(40ms, 20, [&] { scene.gate().insert_into_replies(bytes); });
  scene.recovers();
}

void send_garbage(Scene& scene) { insert(scene, "HTTP/1.1 400 Bad Request\r\n\r\n"); }

void announce_too_much(Scene& scene) {
  insert(scene, "*1000000000\r\n");
  scene.gate().insert_into_replies("$500000000\r\n");
  scene.lasts(300ms);
  scene.gate().cut();  // until then it is no more than a reply that takes long
  scene.recovers();
}

/// Calls through the gate, one after the other, each of them disturbed, while the load goes to the server directly.
class Disturbed {
 public:
  Disturbed(Scene& scene, Admission admission, int user)
      : scene_(scene),
        admission_(admission),
        user_(user),
        client_(connect(scene.gate().url(), {.connect_timeout = 5s, .command_timeout = 5s})),
        limiter_(client_, FaultLoad::config(admission, 0ms)),
        caller_(scene.account(), limiter_, 0) {
    EXPECT_TRUE(caller_.consume(user_, kBudget - 400));  // connected; the server knows the script
  }
  ~Disturbed() {
    EXPECT_TRUE(client_->drain(Clock::now() + 5s));
    scene_.account().undelivered += static_cast<std::int64_t>(limiter_.undelivered().tokens);
  }
  Disturbed(const Disturbed&) = delete;
  Disturbed& operator=(const Disturbed&) = delete;

  void requests() {
    const std::size_t before = scene_.gate().request_bytes();
    EXPECT_TRUE(caller_.consume(user_, 1));
    const std::size_t length = scene_.gate().request_bytes() - before;
    for (std::size_t offset = 0; offset <= length; ++offset) {
      cut([&] { scene_.gate().cut_after_request_bytes(offset); }, 1);
    }
  }
  void one_reply_more() {
    reconnect();
    const int connections = scene_.gate().connections();
    scene_.gate().say_to_clients(":1\r\n");
    scene_.lasts(20ms);
    EXPECT_FALSE(caller_.consume(user_, kBudget)) << "granted by a reply that belongs to no request";
    EXPECT_FALSE(caller_.in_doubt());
    EXPECT_EQ(scene_.gate().connections(), connections + 1);
    EXPECT_TRUE(client_->drain(Clock::now() + 5s));
  }
  void one_reply_less() {
    reconnect();
    scene_.gate().swallow_replies(1);
    EXPECT_FALSE(caller_.consume(user_, 1)) << "granted without a whole reply";
    EXPECT_TRUE(caller_.in_doubt());
    const int cuts = scene_.gate().cuts();
    scene_.gate().cut();
    EXPECT_TRUE(soon([&] { return scene_.gate().cuts() > cuts; }));
    EXPECT_TRUE(client_->drain(Clock::now() + 5s));
  }
  void replies(std::int64_t tokens) {
    for (std::size_t offset = 0; offset < length_of_reply(tokens); ++offset) {
      cut([&] { scene_.gate().cut_after_reply_bytes(offset); }, tokens);
    }
  }

 private:
  [[nodiscard]] std::size_t length_of_reply(std::int64_t tokens) {
    const auto counter = scene_.server().command({"GET", FaultLoad::key_of(user_)}).to_integer().value_or(0);
    if (admission_ == Admission::kPipelined) return (":" + std::to_string(counter + tokens) + "\r\n:1\r\n").size();
    const bool fits = counter + tokens <= kBudget;
    return (":" + std::to_string(fits ? counter + tokens : -1 - counter) + "\r\n").size();
  }
  /// On a new connection where there is none, once the circuit breaker allows it.
  void reconnect() {
    EXPECT_TRUE(soon([&] { return limiter_.try_consume(Caller::name_of(user_), 0).source == Source::kRedis; }));
  }
  void cut(const std::function<void()>& prepare, std::int64_t tokens) {
    EXPECT_TRUE(client_->drain(Clock::now() + 5s));
    reconnect();
    const int cuts = scene_.gate().cuts();
    prepare();
    EXPECT_FALSE(caller_.consume(user_, tokens)) << "granted without a whole reply";
    EXPECT_TRUE(caller_.in_doubt());
    EXPECT_TRUE(soon([&] { return scene_.gate().cuts() > cuts; }));
  }

  Scene& scene_;
  const Admission admission_;
  const int user_;
  std::shared_ptr<RedisClient> client_;
  RedisRateLimiter limiter_;
  Caller caller_;
};

void call_by_call(Scene& scene, void (*disturb)(Disturbed&)) {
  scene.begin();
  int user = Account::kLoadUsers;
  for (const Admission admission : {Admission::kPipelined, Admission::kAtomic}) {
    Disturbed calls{scene, admission, user++};
    disturb(calls);
  }
  scene.recovers();
}

/// On a connection that waits for nothing: behind a request it would pass for the reply to it.
void send_one_reply_too_many(Scene& scene) {
  call_by_call(scene, [](Disturbed& calls) {
    for (int i = 0; i < 10; ++i) calls.one_reply_more();
  });
}
/// And the connection is lost once the call has given up: the next call's replies would pass for what is missing.
void send_one_reply_too_few(Scene& scene) {
  call_by_call(scene, [](Disturbed& calls) {
    for (int i = 0; i < 3; ++i) calls.one_reply_less();
  });
}
void cut_requests(Scene& scene) {
  call_by_call(scene, [](Disturbed& calls) { calls.requests(); });
}
void cut_replies(Scene& scene) {
  call_by_call(scene, [](Disturbed& calls) {
    calls.replies(1);
    calls.replies(kBudget);  // denied
  });
}

// ---- the gate: out of step under load ----------------------------------------------------------------------------

void send_one_reply_too_many_under_load(Scene& scene) { insert(scene, ":1\r\n"); }

void send_one_reply_too_few_under_load(Scene& scene) {
  scene.begin_through_gate();
  scene.every(100ms, 8, [&] { scene.gate().swallow_replies(1); });
  scene.recovers();
}

/// The first calls after the silence come from several threads at once.
void send_one_reply_too_many_into_silence(Scene& scene) {
  scene.begin_through_gate();
  for (int i = 0; i < 12; ++i) {
    scene.account().idle = true;
    scene.lasts(300ms);  // longer than any call
    scene.gate().say_to_clients(":1\r\n");
    scene.lasts(50ms);
    scene.account().idle = false;
    scene.recovers();
  }
}

// ---- the table ----------------------------------------------------------------------------------------------------

const std::vector<Fault>& faults() {
  static const std::vector<std::string> aof{"--appendonly", "yes", "--appendfsync", "always"};
  static const std::vector<std::string> primary{"--repl-diskless-sync-delay", "0"};
  static const std::vector<Fault> all{
      {"Frozen", "SIGSTOP for 5 s", true, freeze},
      {"Killed", "kill -9, restarted empty", true, kill_and_restart, 1},
      {"KilledWithAppendOnlyFile", "kill -9, restarted with its append-only file", true, kill_and_restart, 0, aof},
      {"ClientsPaused", "CLIENT PAUSE, all for 0.6 s, writes for 0.4 s", true, pause_clients},
      {"ClientsKilled", "CLIENT KILL every 50 ms", true, kill_clients_repeatedly},
      {"ScriptsFlushed", "SCRIPT FLUSH and FUNCTION FLUSH every 10 ms", false, flush_scripts},
      {"MemoryFull", "maxmemory reached, noeviction", true, fill_memory},
      {"CountersEvicted", "maxmemory reached, volatile-lru, twice", true, evict_counters, 2},
      {"ReplicaPromoted", "a replica promoted, the old primary READONLY", true, promote_a_replica, 1, primary},
      {"PasswordWrong", "one process with a wrong password", true, start_with_a_wrong_password},
      {"PasswordChanged", "the password changed while running", true, change_the_password},
      {"IdleConnectionsClosed", "`timeout 1` closes idle connections", false, close_idle_connections},
      {"MaxClientsReached", "maxclients reached", true, reach_maxclients},
      {"NameSlow", "a name that takes 0.6 s to look up", true, look_up_a_slow_name},
      {"NameUnknown", "one process with a name that does not exist", true, look_up_a_name_that_does_not_exist},
      {"FirstAddressDead", "a name whose first address is dead", true, look_up_a_name_whose_first_address_is_dead},
      {"Delayed", "every byte 40 ms late, both ways", false, delay},
      {"RequestsLost", "a black hole for requests", true, lose_requests},
      {"RepliesLost", "a black hole for replies", true, lose_replies},
      {"RequestsCut", "cut after each byte of a request", true, cut_requests},
      {"RepliesCut", "cut after each byte of a reply", true, cut_replies},
      {"SingleBytes", "one byte per segment", false, send_single_bytes},
      {"RepliesDropped", "replies dropped after the commit", true, drop_replies_after_the_commit},
      {"Garbage", "garbage among replies", true, send_garbage},
      {"ReplyTooLarge", "a reply of announced 1'000'000'000 elements, of 500 MB", true, announce_too_much},
      {"OneReplyTooMany", "one reply too many, on a silent connection", false, send_one_reply_too_many},
      {"OneReplyTooFew", "one reply too few, then the connection lost", true, send_one_reply_too_few},
      {"OneReplyTooManyUnderLoad", "one reply too many, under load", false, send_one_reply_too_many_under_load},
      {"OneReplyTooFewUnderLoad", "one reply too few, under load", true, send_one_reply_too_few_under_load},
      {"OneReplyTooManyIntoSilence", "one reply too many, then many calls", false,
       send_one_reply_too_many_into_silence},
  };
  return all;
}

class FaultSuite : public ::testing::TestWithParam<Fault> {};

TEST_P(FaultSuite, EveryCallIsAnsweredInTimeAndNoBudgetIsExceeded) {
  Scene scene{GetParam()};
  GetParam().run(scene);
  scene.audit();
}

INSTANTIATE_TEST_SUITE_P(Faults, FaultSuite, ::testing::ValuesIn(faults()),
                         [](const ::testing::TestParamInfo<Fault>& fault) { return fault.param.name; });

}  // namespace
}  // namespace tollgate::tests
