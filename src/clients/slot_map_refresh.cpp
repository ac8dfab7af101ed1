#include "clients/slot_map_refresh.hpp"

#include <algorithm>
#include <utility>

#include "values/failures.hpp"

namespace tollgate::inline v0 {
namespace {

/// Why a node that answered has no map.
Failure refusal_of(const Reply& reply) {
  if (!reply.is_error()) return {Errc::kProtocol, false, "the reply to CLUSTER SLOTS is not a slot map"};
  Failure failure = failure_from_error_reply(reply.text(), "CLUSTER");
  if (reply.text().find("cluster support disabled") != std::string::npos) {
    failure.code = Errc::kUnknownCommand;
    failure.detail =
        "the server is no node of a Cluster (cluster-enabled no); the URL must start with redis:// or rediss://";
  }
  return failure;
}

}  // namespace

SlotMapRefresh::SlotMapRefresh(ClusterNodes& nodes, std::vector<HostAndPort> seeds, bool is_encrypted,
                               std::chrono::milliseconds timeout)
    : nodes_(nodes), seeds_(std::move(seeds)), is_encrypted_(is_encrypted), timeout_(timeout) {}

/// Every address that may know the map, each once: the node that answered last time first, then those that hold slots.
std::vector<HostAndPort> SlotMapRefresh::candidates() const {
  std::vector<HostAndPort> found;
  const auto add = [&found](const HostAndPort& address) {
    if (std::find(found.begin(), found.end(), address) == found.end()) found.push_back(address);
  };
  if (answered_last_) add(*answered_last_);
  const std::vector<bool> holds = nodes_.holders();
  for (std::size_t i = 0; i < holds.size(); ++i) {
    if (holds[i]) add(nodes_[i].address);
  }
  for (const HostAndPort& replica : replicas_) add(replica);
  for (const HostAndPort& seed : seeds_) add(seed);
  return found;
}

std::optional<SlotMap> SlotMapRefresh::run(Time now) {
  const std::optional<Time> due = next();
  if (!due || now < *due) return std::nullopt;
  is_running_.store(true, std::memory_order_release);
  is_requested_.store(false, std::memory_order_release);
  Failure last;
  for (const HostAndPort& address : candidates()) {
    if (is_stopped_.load(std::memory_order_acquire)) break;
    Failure failure;
    if (auto map = ask(address, failure)) {
      answered_last_ = address;
      replicas_ = map->replicas;
      return map;
    }
    if (!last.code || !is_misconfiguration(last.code)) last = std::move(failure);
  }
  answered_last_.reset();
  last.may_have_executed = false;
  last.detail = "no node of the Cluster gave its slot map: " + last.detail;
  {
    const std::lock_guard lock{mutex_};
    failure_ = std::move(last);
  }
  finish(false);
  return std::nullopt;
}

void SlotMapRefresh::request_after_move() noexcept {
  has_seen_move_.store(true, std::memory_order_release);
  const Time soon = std::chrono::steady_clock::now() + kShortestInterval;
  Time due = not_before_.load(std::memory_order_acquire);
  while (due > soon && !not_before_.compare_exchange_weak(due, soon, std::memory_order_acq_rel)) {
  }
  request();
}

void SlotMapRefresh::has_used_map(bool changed) noexcept {
  has_map_.store(true, std::memory_order_release);
  finish(changed);
}

void SlotMapRefresh::give_up() noexcept {
  request();
  finish(false);
}

void SlotMapRefresh::finish(bool changed) noexcept {
  changed = has_seen_move_.exchange(false, std::memory_order_acq_rel) || changed;
  interval_ = changed ? kShortestInterval : std::min(2 * interval_, kLongestInterval);
  not_before_.store(std::chrono::steady_clock::now() + interval_, std::memory_order_release);
  is_running_.store(false, std::memory_order_release);
  finished_.fetch_add(1, std::memory_order_acq_rel);
}

Failure SlotMapRefresh::failure() const {
  const std::lock_guard lock{mutex_};
  return failure_.code ? failure_ : Failure{Errc::kConnectFailed, false, "the slot map of the Cluster is not known"};
}

std::optional<SlotMap> SlotMapRefresh::ask(const HostAndPort& address, Failure& failure) {
  ClusterNodes::Member* const member = nodes_.find_or_make(address);
  if (member == nullptr) {
    failure = {Errc::kOverloaded, false, "more than 1024 nodes were met"};
    return std::nullopt;
  }
  if (knows_shards_) {
    if (auto map = ask(*member, true, failure)) return map;
    // Redis before 7, or a user without the right to it; not where there was no answer at all.
    if (failure.server_text.empty() && failure.code != Errc::kProtocol) return std::nullopt;
  }
  auto map = ask(*member, false, failure);
  if (map) knows_shards_ = false;
  return map;
}

std::optional<SlotMap> SlotMapRefresh::ask(ClusterNodes::Member& member, bool by_shards, Failure& failure) const {
  CommandBatch batch;
  by_shards ? batch.cluster_shards() : batch.cluster_slots();
  const BatchResult result = member.node->execute(batch, std::chrono::steady_clock::now() + timeout_, nullptr);
  if (!result.ok() || result.replies.size() != 1) {
    failure = result.failure;
    return std::nullopt;
  }
  const Reply& reply = result.replies[0];
  const AskedNode asked{member.address.host, is_encrypted_};
  auto map = by_shards ? read_cluster_shards(reply, asked) : read_cluster_slots(reply, asked);
  if (!map) {
    failure = refusal_of(reply);
  } else if (map->ranges.empty()) {
    failure = {Errc::kLoading, false, "the node knows of no slots: it is not yet part of a Cluster"};
    map.reset();
  }
  return map;
}

}  // namespace tollgate::inline v0
