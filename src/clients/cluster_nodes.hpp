/// The nodes of a Redis Cluster that a client has met, and the table from hash slots to them. A node that leaves the
/// Cluster keeps its place, because calls may be using it; its connections are closed.
/// Thread safety: all of it.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "clients/node.hpp"
#include "clients/slot_map.hpp"
#include "tollgate/values/command_batch.hpp"
#include "values/hash_slot.hpp"
#include "values/url.hpp"

namespace tollgate::inline v0 {

class ClusterNodes {
 public:
  /// A node and its address, as the Cluster reports it.
  struct Member {
    std::size_t number;
    HostAndPort address;
    std::unique_ptr<Node> node;
  };

  /// A hostile or broken server cannot make a client remember more.
  static constexpr std::size_t kMaxNodes = 1024;

  using Make = std::function<std::unique_ptr<Node>(const HostAndPort&)>;

  explicit ClusterNodes(Make make);
  ClusterNodes(const ClusterNodes&) = delete;
  ClusterNodes& operator=(const ClusterNodes&) = delete;

  /// The node at `address`; null when it is new and there are kMaxNodes. Throws std::bad_alloc.
  [[nodiscard]] Member* find_or_make(const HostAndPort& address);

  /// The node that holds `slot`; null when none is known.
  [[nodiscard]] Member* owner(std::uint16_t slot) const noexcept {
    const std::uint16_t number = owners_[slot].load(std::memory_order_acquire);
    return number == kNone ? nullptr : members_[number].load(std::memory_order_relaxed);
  }
  /// The node that holds the slots of all commands; null when they are at several, when one is not known, and when a
  /// command is not routed by a key.
  [[nodiscard]] Member* only_owner(const CommandBatch& batch) const noexcept;

  /// Replaces the table by `map`, and returns whether that changed it. Ranges of nodes for which there is no room are
  /// dropped. Throws std::bad_alloc; then the table may be replaced in part.
  bool assign(const SlotMap& map);
  void assign(std::uint16_t slot, const Member& member) noexcept {
    owners_[slot].store(static_cast<std::uint16_t>(member.number), std::memory_order_release);
  }

  /// Whether the node holds a slot.
  [[nodiscard]] bool is_holder(const Member& member) const noexcept;
  /// Likewise for each node, by number.
  [[nodiscard]] std::vector<bool> holders() const;

  [[nodiscard]] std::size_t size() const noexcept { return size_.load(std::memory_order_acquire); }
  /// `number` is less than size().
  [[nodiscard]] Member& operator[](std::size_t number) const noexcept {
    return *members_[number].load(std::memory_order_relaxed);
  }

 private:
  static constexpr std::uint16_t kNone = 0xFFFF;

  const Make make_;
  std::array<std::atomic<std::uint16_t>, kHashSlots> owners_;
  std::array<std::atomic<Member*>, kMaxNodes> members_{};  // null from size_ on
  std::atomic<std::size_t> size_{0};
  std::mutex mutex_;  // guards that nodes are added
  std::vector<std::unique_ptr<Member>> owned_;
};

}  // namespace tollgate::inline v0
