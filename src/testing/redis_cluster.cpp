#include "tollgate/testing/redis_cluster.hpp"

#include <array>
#include <chrono>
#include <functional>
#include <stdexcept>
#include <thread>
#include <utility>

#include "free_port.hpp"

namespace tollgate::inline v0::testing {
namespace {

using std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr unsigned kSlots = 16384;
constexpr auto kTimeout = 20s;
constexpr auto kPoll = 10ms;
constexpr const char* kHost = "127.0.0.1";

void wait_until(const std::string& what, const std::function<bool()>& holds) {
  for (const auto deadline = steady_clock::now() + kTimeout; !holds(); std::this_thread::sleep_for(kPoll)) {
    if (steady_clock::now() >= deadline) throw std::runtime_error("private Redis Cluster: not within 20 s: " + what);
  }
}

[[noreturn]] void fail(const std::vector<std::string>& command, const std::string& why) {
  std::string text = "private Redis Cluster:";
  for (const std::string& word : command) text += " " + word;
  throw std::runtime_error(text + ": " + why);
}

Reply ask(const RedisServer& node, const std::vector<std::string>& command) {
  Reply reply;
  try {
    reply = node.command(command);
  } catch (const std::runtime_error& error) {
    fail(command, error.what());
  }
  if (reply.is_error()) fail(command, reply.text());
  return reply;
}

bool is_served(const RedisServer& node) {
  const std::string info = node.command({"CLUSTER", "INFO"}).text();
  return info.find("cluster_state:ok") != std::string::npos && info.find("cluster_slots_ok:16384") != std::string::npos;
}

/// CRC-16/XMODEM bit by bit: shares no code with the library's own.
std::uint16_t crc_of(std::string_view text) {
  unsigned crc = 0;
  for (const char character : text) {
    crc ^= static_cast<unsigned>(static_cast<unsigned char>(character)) << 8U;
    for (int bit = 0; bit < 8; ++bit) crc = ((crc & 0x8000U) != 0 ? crc << 1U ^ 0x1021U : crc << 1U) & 0xFFFFU;
  }
  return static_cast<std::uint16_t>(crc);
}

}  // namespace

RedisCluster::RedisCluster(Layout layout) : layout_(std::move(layout)) {
  const std::size_t primaries = layout_.primaries;
  if (primaries < 1 || primaries > 16) throw std::runtime_error("private Redis Cluster: primaries must be 1 … 16");
  for (std::size_t i = 0; i < primaries * (1 + layout_.replicas_per_primary); ++i) start_node();
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    ask(nodes_[i], {"CLUSTER", "SET-CONFIG-EPOCH", std::to_string(i + 1)});  // agreed, so that no vote is needed
    if (i >= primaries) continue;
    const std::size_t first = kSlots * i / primaries;
    const std::size_t last = kSlots * (i + 1) / primaries - 1;
    ask(nodes_[i], {"CLUSTER", "ADDSLOTSRANGE", std::to_string(first), std::to_string(last)});
  }
  for (std::size_t i = 1; i < nodes_.size(); ++i) meet(i);
  wait_until_served();
  for (std::size_t i = primaries; i < nodes_.size(); ++i) {
    const std::string primary = id_of(i % primaries);
    wait_until("the replica knows its primary", [&] {
      return !nodes_[i].command({"CLUSTER", "REPLICATE", primary}).is_error();
    });
  }
  for (std::size_t i = primaries; i < nodes_.size(); ++i) {
    wait_until("the replica is in step", [&] {
      return nodes_[i].command({"INFO", "replication"}).text().find("master_link_status:up") != std::string::npos;
    });
  }
}

std::string RedisCluster::url() const {
  std::string hosts;
  for (std::size_t i = 0; i < layout_.primaries; ++i) {
    hosts += (i == 0 ? "" : ",") + std::string{kHost} + ":" + std::to_string(nodes_[i].port());
  }
  if (layout_.certificates == nullptr) return "redis+cluster://" + hosts;
  return "rediss+cluster://" + hosts + "?ca_file=" + layout_.certificates->ca_file();
}

/// The bus has a port of its own, because the default (10000 above) may be in use or out of range.
RedisServer& RedisCluster::start_node() {
  // A primary that gives away its last slot stays one, instead of becoming a replica of the new owner.
  std::vector<std::string> arguments{"--cluster-enabled",
                                     "yes",
                                     "--cluster-port",
                                     std::to_string(free_port()),
                                     "--cluster-node-timeout",
                                     "1000",
                                     "--cluster-replica-validity-factor",
                                     "0",
                                     "--cluster-allow-replica-migration",
                                     "no",
                                     "--repl-diskless-sync-delay",
                                     "0"};
  arguments.insert(arguments.end(), layout_.arguments.begin(), layout_.arguments.end());
  if (layout_.certificates == nullptr) return nodes_.emplace_back(std::move(arguments));
  // MIGRATE, which a primary sends to another, uses TLS where replication does.
  arguments.insert(arguments.end(), {"--tls-cluster", "yes", "--tls-replication", "yes"});
  return nodes_.emplace_back(*layout_.certificates, std::move(arguments));
}

void RedisCluster::meet(std::size_t index) const {
  const auto bus = ask(nodes_[index], {"CONFIG", "GET", "cluster-port"}).elements().at(1).text();
  ask(nodes_[0], {"CLUSTER", "MEET", kHost, std::to_string(nodes_[index].port()), bus});
}

std::string RedisCluster::id_of(std::size_t index) const { return ask(nodes_[index], {"CLUSTER", "MYID"}).text(); }

bool RedisCluster::is_primary(std::size_t index) const {
  const RedisServer& node = nodes_[index];
  return node.pid() != 0 && node.command({"INFO", "replication"}).text().find("role:master") != std::string::npos;
}

void RedisCluster::wait_until_served() const {
  for (const RedisServer& node : nodes_) {
    if (node.pid() == 0) continue;
    wait_until("all slots are served", [&node] { return is_served(node); });
  }
}

std::uint16_t RedisCluster::slot_of(std::string_view key) {
  const std::size_t open = key.find('{');
  if (open != std::string_view::npos) {
    const std::size_t close = key.find('}', open + 1);
    if (close != std::string_view::npos && close > open + 1) key = key.substr(open + 1, close - open - 1);
  }
  return static_cast<std::uint16_t>(crc_of(key) % kSlots);
}

/// The node that says so itself: the others learn of a change some time later.
std::size_t RedisCluster::owner_of(std::uint16_t slot) const {
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    if (nodes_[i].pid() == 0) continue;
    const Reply map = ask(nodes_[i], {"CLUSTER", "SLOTS"});
    for (const Reply& range : map.elements()) {
      const auto& parts = range.elements();
      if (slot < parts.at(0).to_integer() || slot > parts.at(1).to_integer()) continue;
      if (parts.at(2).elements().at(1).to_integer() == nodes_[i].port()) return i;
    }
  }
  return nodes_.size();
}

void RedisCluster::begin_migration(std::uint16_t slot, std::size_t to) {
  const std::size_t from = owner_of(slot);
  ask(nodes_[to], {"CLUSTER", "SETSLOT", std::to_string(slot), "IMPORTING", id_of(from)});
  ask(nodes_.at(from), {"CLUSTER", "SETSLOT", std::to_string(slot), "MIGRATING", id_of(to)});
}

std::size_t RedisCluster::move_keys(std::uint16_t slot, std::size_t to, std::size_t count) {
  const RedisServer& from = nodes_.at(owner_of(slot));
  const Reply keys = ask(from, {"CLUSTER", "GETKEYSINSLOT", std::to_string(slot), std::to_string(count)});
  for (const Reply& key : keys.elements()) {  // one by one, as a cautious operator does
    ask(from, {"MIGRATE", kHost, std::to_string(nodes_[to].port()), key.text(), "0", "5000"});
  }
  return keys.elements().size();
}

void RedisCluster::end_migration(std::uint16_t slot, std::size_t to) {
  const std::size_t from = owner_of(slot);
  const std::string owner = id_of(to);
  ask(nodes_[to], {"CLUSTER", "SETSLOT", std::to_string(slot), "NODE", owner});
  ask(nodes_.at(from), {"CLUSTER", "SETSLOT", std::to_string(slot), "NODE", owner});
}

void RedisCluster::migrate(std::uint16_t slot, std::size_t to) {
  if (owner_of(slot) == to) return;
  begin_migration(slot, to);
  while (move_keys(slot, to, 100) > 0) {  // no key is added meanwhile: Redis answers ASK where it has none
  }
  end_migration(slot, to);
}

void RedisCluster::fail_over_to(std::size_t index) {
  ask(nodes_[index], {"CLUSTER", "FAILOVER"});
  wait_until_primary(index);
}

void RedisCluster::wait_until_primary(std::size_t index) {
  wait_until("the replica is promoted", [&] { return is_primary(index); });
}

std::size_t RedisCluster::add_node() {
  start_node();
  const std::size_t index = nodes_.size() - 1;
  meet(index);
  const std::string id = id_of(index);
  for (const RedisServer& node : nodes_) {
    if (node.pid() == 0) continue;
    wait_until("every node knows the new one", [&] {
      return node.command({"CLUSTER", "NODES"}).text().find(id) != std::string::npos;
    });
  }
  wait_until_served();
  return index;
}

void RedisCluster::forget_node(std::size_t index) {
  const std::string id = id_of(index);
  nodes_[index].stop();
  for (const RedisServer& node : nodes_) {
    if (node.pid() != 0) ask(node, {"CLUSTER", "FORGET", id});
  }
}

std::vector<std::string> RedisCluster::keys_without_ttl() const {
  std::vector<std::string> all;
  for (const RedisServer& node : nodes_) {
    if (node.pid() == 0) continue;
    for (std::string& key : node.keys_without_ttl()) all.push_back(std::move(key));
  }
  return all;
}

void RedisCluster::flush() {
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    if (is_primary(i)) ask(nodes_[i], {"FLUSHALL"});
  }
}

}  // namespace tollgate::inline v0::testing
