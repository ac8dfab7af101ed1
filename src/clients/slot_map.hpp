/// The slot map of a Redis Cluster, as a node reports it: which primary holds which hash slots.
/// https://redis.io/docs/latest/commands/cluster-shards/ and …/cluster-slots/
/// Thread safety: plain values and functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "tollgate/values/reply.hpp"
#include "values/url.hpp"

namespace tollgate::inline v0 {

struct SlotMap {
  /// The slots `first` … `last` of one primary.
  struct Range {
    std::uint16_t first = 0;
    std::uint16_t last = 0;
    HostAndPort primary;

    bool operator==(const Range&) const = default;
  };

  std::vector<Range> ranges;          ///< in the order of the reply; a slot that none contains is served by no node
  std::vector<HostAndPort> replicas;  ///< they know the map too, when every primary known so far is gone
};

/// The node that was asked, and how: a node that does not report its own host means the host that was asked.
struct AskedNode {
  std::string_view host;
  bool is_encrypted = false;  ///< then the TLS ports are read
};

/// The map in a reply to CLUSTER SHARDS, respectively CLUSTER SLOTS; nothing when the reply is not of that form, names
/// a slot or a port out of range, or more than kMaxRanges ranges.
inline constexpr std::size_t kMaxRanges = 16384;
[[nodiscard]] std::optional<SlotMap> read_cluster_shards(const Reply& reply, const AskedNode& asked);
[[nodiscard]] std::optional<SlotMap> read_cluster_slots(const Reply& reply, const AskedNode& asked);

/// The host that `reported` means: itself, or the one that was asked where a node reports none (empty or "?").
[[nodiscard]] std::string_view host_or(std::string_view reported, std::string_view asked) noexcept;

}  // namespace tollgate::inline v0
