#include "clients/slot_map.hpp"

#include <string>
#include <utility>

#include "values/hash_slot.hpp"
#include "values/limits.hpp"

namespace tollgate::inline v0 {
namespace {

using Kind = Reply::Kind;

constexpr std::size_t kMaxReplicas = 256;  // more are not needed to find a node that answers

/// A number of a reply in first … last; nothing for anything else.
std::optional<std::uint16_t> number_in(const Reply& reply, std::int64_t first, std::int64_t last) {
  if (reply.kind() != Kind::kInteger && reply.kind() != Kind::kString) return std::nullopt;
  const auto number = reply.to_integer();
  if (!number || *number < first || *number > last) return std::nullopt;
  return static_cast<std::uint16_t>(*number);
}

std::optional<std::uint16_t> port_in(const Reply& reply) { return number_in(reply, 1, 65535); }

/// Nothing when the port is none, or the host is longer than any name or address.
std::optional<HostAndPort> address_in(const Reply& host, const Reply& port, const AskedNode& asked) {
  const std::string_view name = host_or(host.text(), asked.host);
  const auto number = port_in(port);
  if (!number || name.size() > kMaxHostBytes) return std::nullopt;
  return HostAndPort{std::string{name}, *number};
}

bool append_range(SlotMap& map, const Reply& first, const Reply& last, const HostAndPort& primary) {
  const auto from = number_in(first, 0, kHashSlots - 1);
  const auto to = number_in(last, 0, kHashSlots - 1);
  if (!from || !to || *from > *to || map.ranges.size() >= kMaxRanges) return false;
  map.ranges.push_back({*from, *to, primary});
  return true;
}

void add_replica(SlotMap& map, HostAndPort replica) {
  if (map.replicas.size() < kMaxReplicas) map.replicas.push_back(std::move(replica));
}

/// The value behind the field `name` of a flat list of fields; null where there is none.
const Reply* field(const Reply& fields, std::string_view name) {
  const std::vector<Reply>& list = fields.elements();
  for (std::size_t i = 0; i + 1 < list.size(); i += 2) {
    if (list[i].text() == name) return &list[i + 1];
  }
  return nullptr;
}

bool is(const Reply* value, std::string_view text) { return value != nullptr && value->text() == text; }

/// The primary of a shard. After a failover the list may hold the old one too, with a health other than "online".
const Reply* primary_of(const Reply& nodes) {
  const Reply* primary = nullptr;
  for (const Reply& node : nodes.elements()) {
    if (!is(field(node, "role"), "master")) continue;
    if (is(field(node, "health"), "online")) return &node;
    if (primary == nullptr) primary = &node;
  }
  return primary;
}

/// A server without TLS reports no `tls-port`, and one with TLS alone no `port`; before a proxy that speaks TLS, `port`
/// is that of the proxy.
std::optional<HostAndPort> address_of(const Reply& node, const AskedNode& asked) {
  const Reply* port = asked.is_encrypted ? field(node, "tls-port") : nullptr;
  if (port == nullptr) port = field(node, "port");
  const Reply* host = field(node, "endpoint");  // the form that the cluster's administrator prefers
  if (port == nullptr || host == nullptr) return std::nullopt;
  return address_in(*host, *port, asked);
}

}  // namespace

std::string_view host_or(std::string_view reported, std::string_view asked) noexcept {
  return reported.empty() || reported == "?" ? asked : reported;
}

std::optional<SlotMap> read_cluster_shards(const Reply& reply, const AskedNode& asked) {
  if (reply.kind() != Kind::kArray) return std::nullopt;
  SlotMap map;
  for (const Reply& shard : reply.elements()) {
    const Reply* slots = field(shard, "slots");
    const Reply* nodes = field(shard, "nodes");
    if (slots == nullptr || nodes == nullptr || slots->elements().size() % 2 != 0) return std::nullopt;
    if (slots->elements().empty()) continue;
    const Reply* node = primary_of(*nodes);
    if (node == nullptr) continue;  // a shard that has lost its primary
    const auto primary = address_of(*node, asked);
    if (!primary) return std::nullopt;
    for (const Reply& other : nodes->elements()) {
      if (auto address = &other == node ? std::nullopt : address_of(other, asked))
        add_replica(map, std::move(*address));
    }
    for (std::size_t i = 0; i < slots->elements().size(); i += 2) {
      if (!append_range(map, slots->elements()[i], slots->elements()[i + 1], *primary)) return std::nullopt;
    }
  }
  return map;
}

std::optional<SlotMap> read_cluster_slots(const Reply& reply, const AskedNode& asked) {
  if (reply.kind() != Kind::kArray) return std::nullopt;
  SlotMap map;
  for (const Reply& range : reply.elements()) {
    const std::vector<Reply>& parts = range.elements();  // first slot, last slot, primary, replicas
    if (parts.size() < 3 || parts[2].elements().size() < 2) return std::nullopt;
    const auto primary = address_in(parts[2].elements()[0], parts[2].elements()[1], asked);
    if (!primary || !append_range(map, parts[0], parts[1], *primary)) return std::nullopt;
    for (std::size_t i = 3; i < parts.size(); ++i) {
      const std::vector<Reply>& replica = parts[i].elements();
      auto address = replica.size() < 2 ? std::nullopt : address_in(replica[0], replica[1], asked);
      if (address) add_replica(map, *std::move(address));
    }
  }
  return map;
}

}  // namespace tollgate::inline v0
