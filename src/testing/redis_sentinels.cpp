#include "tollgate/testing/redis_sentinels.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <utility>

namespace tollgate::inline v0::testing {
namespace {

using std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr auto kStartTimeout = 30s;
constexpr auto kPoll = 10ms;

void wait_for(std::chrono::milliseconds timeout, const std::string& what, const std::function<bool()>& holds) {
  const auto deadline = steady_clock::now() + timeout;
  while (!holds()) {
    if (steady_clock::now() >= deadline) throw std::runtime_error("RedisSentinels: not in time: " + what);
    std::this_thread::sleep_for(kPoll);
  }
}

std::string make_folder() {
  std::string path = std::filesystem::temp_directory_path() / "tollgate-sentinels-XXXXXX";
  if (::mkdtemp(path.data()) == nullptr) {
    throw std::runtime_error("mkdtemp " + path + ": " + std::generic_category().message(errno));
  }
  return path;
}

/// The reply, or nil when the server does not run or does not answer.
Reply ask(const RedisServer& server, const std::vector<std::string>& command) {
  if (server.pid() == 0) return {};
  try {
    return server.command(command);
  } catch (const std::runtime_error&) {
    return {};
  }
}

bool is_primary(const RedisServer& server) {
  const Reply role = ask(server, {"ROLE"});
  return !role.elements().empty() && role.elements().front().text() == "master";
}

bool is_replica_in_step(const RedisServer& server) {
  const Reply role = ask(server, {"ROLE"});
  return role.elements().size() == 5 && role.elements()[3].text() == "connected";
}

/// The value of `field` in what SENTINEL MASTER replies: names and values in turn.
std::string field_of(const Reply& reply, const std::string& field) {
  const std::vector<Reply>& elements = reply.elements();
  for (std::size_t i = 0; i + 1 < elements.size(); i += 2) {
    if (elements[i].text() == field) return elements[i + 1].text();
  }
  return {};
}

}  // namespace

RedisSentinels::RedisSentinels(Options options) : options_(std::move(options)), folder_(testing::make_folder()) {
  try {
    start(servers_, options_.server_arguments);
    const std::string address = "127.0.0.1 " + std::to_string(servers_.front().port());
    for (std::size_t i = 0; i < options_.replicas; ++i) {
      std::vector<std::string> arguments{"--replicaof", address, "--repl-diskless-sync-delay", "0"};
      arguments.insert(arguments.end(), options_.server_arguments.begin(), options_.server_arguments.end());
      start(servers_, std::move(arguments));
    }
    for (std::size_t i = 0; i < options_.sentinels; ++i) start_sentinel(i);
    wait_until_complete();
  } catch (...) {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
    throw;
  }
}

RedisSentinels::~RedisSentinels() {
  sentinels_.clear();  // before the servers, so that they start no failover meanwhile
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

void RedisSentinels::start(std::deque<RedisServer>& group, std::vector<std::string> arguments) const {
  if (options_.certificates == nullptr) {
    group.emplace_back(std::move(arguments));
    return;
  }
  arguments.insert(arguments.end(), {"--tls-replication", "yes"});  // also of a sentinel's own connections
  group.emplace_back(*options_.certificates, std::move(arguments));
}

void RedisSentinels::start_sentinel(std::size_t index) {
  const std::string path = folder_ + "/sentinel-" + std::to_string(index) + ".conf";
  std::ofstream file{path};
  file << "sentinel monitor " << service() << " 127.0.0.1 " << servers_.front().port() << ' '
       << options_.sentinels / 2 + 1 << "\nsentinel down-after-milliseconds " << service() << ' '
       << options_.down_after.count() << "\nsentinel failover-timeout " << service() << " 3000\n";
  if (!options_.sentinel_password.empty()) {
    file << "requirepass " << options_.sentinel_password << "\nsentinel sentinel-pass " << options_.sentinel_password
         << '\n';
  }
  file.close();
  if (!file) throw std::runtime_error("RedisSentinels: cannot write " + path);
  start(sentinels_, {path, "--sentinel"});
  // Milliseconds; by default they look at the servers once in 10 s. Redis before 7.0 has no such command, and is
  // slower.
  sentinels_.back().command({"SENTINEL", "DEBUG", "INFO-PERIOD", "500", "PUBLISH-PERIOD", "500"});
}

void RedisSentinels::wait_until_complete() {
  wait_for(kStartTimeout, "the replicas are in step", [&] {
    for (std::size_t i = 1; i < servers_.size(); ++i) {
      if (!is_replica_in_step(servers_[i])) return false;
    }
    return true;
  });
  wait_for(kStartTimeout, "the sentinels see each other and the replicas", [&] {
    for (const RedisServer& sentinel : sentinels_) {
      const Reply state = ask(sentinel, {"SENTINEL", "MASTER", service()});
      if (field_of(state, "num-slaves") != std::to_string(options_.replicas)) return false;
      if (field_of(state, "num-other-sentinels") != std::to_string(options_.sentinels - 1)) return false;
    }
    return true;
  });
}

std::string RedisSentinels::url() const {
  std::string hosts;
  for (const RedisServer& sentinel : sentinels_) {
    hosts += (hosts.empty() ? "127.0.0.1:" : ",127.0.0.1:") + std::to_string(sentinel.port());
  }
  const bool is_encrypted = options_.certificates != nullptr;
  std::string url = (is_encrypted ? "rediss+sentinel://" : "redis+sentinel://") + hosts + '/' + service();
  if (is_encrypted) url += "?ca_file=" + options_.certificates->ca_file();
  if (!options_.sentinel_password.empty()) {
    url += (is_encrypted ? "&sentinel_password=" : "?sentinel_password=") + options_.sentinel_password;
  }
  return url;
}

RedisServer& RedisSentinels::primary() {
  for (const RedisServer& sentinel : sentinels_) {
    const Reply address = ask(sentinel, {"SENTINEL", "GET-MASTER-ADDR-BY-NAME", service()});
    if (address.elements().size() != 2) continue;
    for (RedisServer& server : servers_) {
      if (std::to_string(server.port()) == address.elements()[1].text()) return server;
    }
  }
  throw std::runtime_error("RedisSentinels: no sentinel names the primary");
}

RedisServer& RedisSentinels::kill_primary() {
  RedisServer& server = primary();
  server.kill();
  return server;
}

RedisServer& RedisSentinels::fail_over() {
  RedisServer& old = primary();
  auto ask_again_at = steady_clock::now();
  wait_for(kStartTimeout, "a replica is promoted", [&] {
    // A sentinel gives up a failover for which it finds no replica that it has heard of lately.
    if (steady_clock::now() >= ask_again_at) {
      ask(sentinels_.front(), {"SENTINEL", "FAILOVER", service()});
      ask_again_at = steady_clock::now() + 1s;
    }
    return find_promoted(old) != nullptr;
  });
  return old;
}

RedisServer* RedisSentinels::find_promoted(const RedisServer& old) {
  for (RedisServer& server : servers_) {
    if (&server != &old && is_primary(server)) return &server;
  }
  return nullptr;
}

RedisServer& RedisSentinels::wait_for_promotion(const RedisServer& old, std::chrono::milliseconds timeout) {
  RedisServer* promoted = nullptr;
  wait_for(timeout, "a replica is promoted", [&] { return (promoted = find_promoted(old)) != nullptr; });
  return *promoted;
}

void RedisSentinels::wait_until_replica(const RedisServer& server, std::chrono::milliseconds timeout) {
  wait_for(timeout, "a server is a replica in step", [&] { return is_replica_in_step(server); });
}

}  // namespace tollgate::inline v0::testing
