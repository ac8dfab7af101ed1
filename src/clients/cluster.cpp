#include "clients/cluster.hpp"

#include <algorithm>
#include <new>
#include <thread>
#include <utility>

namespace tollgate::inline v0 {
namespace {

using SteadyClock = std::chrono::steady_clock;

// How often callers that wait for the service thread look for its result.
constexpr std::chrono::milliseconds kPoll{1};
// How often the service thread looks at posts that are under way to nodes that fail.
constexpr std::chrono::milliseconds kWatchInterval{20};

Endpoint endpoint_of(const HostAndPort& address, const Url& url) {
  return {.name = (url.is_encrypted() ? "rediss://" : "redis://") + address.to_string(),
          .host = address.host,
          .port = address.port,
          .is_encrypted = url.is_encrypted()};
}

void add(ClientStats& sum, const ClientStats& node) {
  for (std::size_t i = 0; i < sum.latency.counts.size(); ++i) sum.latency.counts[i] += node.latency.counts[i];
  sum.failed += node.failed;
  sum.failed_at_once += node.failed_at_once;
  sum.posted += node.posted;
  sum.connects += node.connects;
  sum.disconnects += node.disconnects;
  sum.circuit_opened += node.circuit_opened;
}

}  // namespace

Cluster::Cluster(RedisClient& client, const Url& url, const ClientOptions& options, const ScriptList& scripts)
    : client_(client),
      seeds_(url.hosts()),
      command_timeout_(options.command_timeout),
      nodes_([&client, url, options, &scripts](const HostAndPort& address) {
        return std::make_unique<Node>(client, endpoint_of(address, url), url.login(options.credentials), options,
                                      scripts);
      }),
      refresh_(nodes_, seeds_, url.is_encrypted(), options.command_timeout),
      service_thread_([this] { return service(); }) {
  for (const HostAndPort& seed : seeds_) static_cast<void>(nodes_.find_or_make(seed));  // also checks the TLS options
}

/// Posts made by handlers from now on fail, so that no node receives one after its end.
void Cluster::close() {
  refresh_.stop();
  service_thread_.stop();
  const Time deadline = SteadyClock::now() + command_timeout_;
  post_deferred(Time::max());  // a last attempt for each
  drain(deadline);
  is_closing_.store(true, std::memory_order_release);
  post_deferred(Time::max());
  for (std::size_t i = 0; i < nodes_.size(); ++i) nodes_[i].node->close(deadline);
}

bool Cluster::drain(Time deadline) {
  for (;;) {
    bool drained = true;
    for (std::size_t i = 0; i < nodes_.size(); ++i) drained = nodes_[i].node->drain(deadline) && drained;
    if (drained && posts_.load(std::memory_order_acquire) == 0) return true;  // redirected posts are drained again
    if (SteadyClock::now() >= deadline) return false;
    std::this_thread::sleep_for(kPoll);
  }
}

Failure Cluster::script_refusal() const {
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    if (Failure refusal = nodes_[i].node->script_refusal(); refusal.code) return refusal;
  }
  return {};
}

ClientStats Cluster::stats() const noexcept {
  ClientStats sum;
  for (std::size_t i = 0; i < nodes_.size(); ++i) add(sum, nodes_[i].node->stats());
  return sum;
}

void Cluster::request_refresh() noexcept {
  refresh_.request();
  service_thread_.request();
}

/// Waits for the refresh that is under way, due, or due within `soon`. False when none is, or when `until` comes first.
bool Cluster::await_refresh(Time until, std::chrono::milliseconds soon) {
  const std::uint64_t seen = refresh_.finished();
  if (!refresh_.is_due(SteadyClock::now() + soon)) return false;
  request_refresh();
  while (refresh_.finished() == seen) {
    if (SteadyClock::now() >= until) return false;
    std::this_thread::sleep_for(kPoll);
    service_thread_.request();  // again, in case its thread could not be started
  }
  return true;
}

/// Takes over what MOVED says, before the whole map is read.
void Cluster::learn_owner(std::uint16_t slot, const HostAndPort& address, Time until) {
  refresh_.request_after_move();
  service_thread_.request();
  Member* const before = nodes_.owner(slot);
  Member* const after = nodes_.find_or_make(address);
  if (after == nullptr || after == before) return;
  if (before != nullptr) settle_posts(*before, until);
  nodes_.assign(slot, *after);
}

/// Waits, for a short time at most, until the posts under way to `member` are answered and have been redirected, so
/// that a call that goes to another node from now on comes behind the posts that its thread made before.
void Cluster::settle_posts(Member& member, Time until) {
  if (!member.node->has_posts_under_way()) return;
  member.node->drain(std::min(until, SteadyClock::now() + command_timeout_ / 4));
}

void Cluster::use(const SlotMap& map) {
  const std::vector<bool> before = nodes_.holders();
  const bool changed = nodes_.assign(map);
  if (changed) {
    const std::vector<bool> now = nodes_.holders();
    for (std::size_t i = 0; i < before.size(); ++i) {
      if (!before[i]) continue;
      nodes_[i].node->refuse_unsent_posts(kMovedAway);  // their handlers route them by the new map
      if (!now[i]) nodes_[i].node->disconnect_if_idle("the node holds no slots any more");
    }
  }
  refresh_.has_used_map(changed);
}

/// The service thread's work: refreshes the map, sends posts that are due, and moves those that a node does not take.
std::optional<Cluster::Time> Cluster::service() {
  Time now = SteadyClock::now();
  post_deferred(now);
  try {
    if (const auto map = refresh_.run(now)) use(*map);
  } catch (const std::bad_alloc&) {
    refresh_.give_up();
  }
  if (posts_.load(std::memory_order_acquire) > 0) watch_posts();

  std::optional<Time> next = deferred_.next_due();
  const auto wake_at = [&next](std::optional<Time> time) {
    if (time && (!next || *time < *next)) next = time;
  };
  now = SteadyClock::now();
  if (posts_.load(std::memory_order_acquire) > 0) wake_at(now + kWatchInterval);
  wake_at(refresh_.next());
  return next;
}

}  // namespace tollgate::inline v0
