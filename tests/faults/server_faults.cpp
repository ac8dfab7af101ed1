// The faults of the fault suite's server and of its name.

#include <gmock/gmock.h>

#include <string>
#include <vector>

#include "faults/fault_scene.hpp"
#include "faults/made_up_names.hpp"
#include "faults/silent_port.hpp"

namespace tollgate::tests {
namespace {

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

/// While there is no memory at all, every counter is evicted and none is made, so each time ends one life of each
/// counter.
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

/// Charges that reached the old primary after the replica had been promoted are lost: at most one budget.
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

}  // namespace

const std::vector<Fault>& server_faults() {
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
      {"FirstAddressDead", "a name whose first address does not respond", true,
       look_up_a_name_whose_first_address_is_dead},
  };
  return all;
}

}  // namespace tollgate::tests
