#include "clients/cluster_nodes.hpp"

#include <algorithm>
#include <utility>

namespace tollgate::inline v0 {
namespace {

bool is_routed_by_key(const Command& command) noexcept {
  return !command.keys.empty() && command.operation != Operation::kScan;
}

bool is_same_text(std::string_view a, std::string_view b) noexcept {  // INCRBY and EXPIRE share the bytes of their key
  return a.data() == b.data() && a.size() == b.size();
}

}  // namespace

ClusterNodes::ClusterNodes(Make make) : make_(std::move(make)) {
  for (auto& owner : owners_) owner.store(kNone, std::memory_order_relaxed);
}

ClusterNodes::Member* ClusterNodes::find_or_make(const HostAndPort& address) {
  const std::lock_guard lock{mutex_};
  for (const auto& member : owned_) {
    if (member->address == address) return member.get();
  }
  if (owned_.size() >= kMaxNodes) return nullptr;
  const std::size_t number = owned_.size();
  Member& member = *owned_.emplace_back(std::make_unique<Member>(Member{number, address, make_(address)}));
  members_[number].store(&member, std::memory_order_release);
  size_.store(owned_.size(), std::memory_order_release);
  return &member;
}

ClusterNodes::Member* ClusterNodes::only_owner(const CommandBatch& batch) const noexcept {
  if (batch.empty()) return nullptr;
  const Command first = batch[0];
  if (!is_routed_by_key(first)) return nullptr;
  Member* const member = owner(hash_slot(first.key));
  for (std::size_t i = 1; i < batch.size() && member != nullptr; ++i) {
    const Command command = batch[i];
    if (is_same_text(command.key, first.key) && command.operation != Operation::kScan) continue;
    if (!is_routed_by_key(command) || owner(hash_slot(command.key)) != member) return nullptr;
  }
  return member;
}

bool ClusterNodes::assign(const SlotMap& map) {
  std::vector<std::uint16_t> owners(kHashSlots, kNone);
  for (const SlotMap::Range& range : map.ranges) {
    const Member* const member = find_or_make(range.primary);
    if (member == nullptr) continue;
    for (unsigned slot = range.first; slot <= range.last; ++slot) {
      owners[slot] = static_cast<std::uint16_t>(member->number);
    }
  }
  bool changed = false;
  for (std::size_t slot = 0; slot < owners.size(); ++slot) {
    const auto before = owners_[slot].exchange(owners[slot], std::memory_order_acq_rel);
    changed = changed || before != owners[slot];
  }
  return changed;
}

bool ClusterNodes::is_holder(const Member& member) const noexcept {
  return std::any_of(owners_.begin(), owners_.end(),
                     [&member](const auto& owner) { return owner.load(std::memory_order_acquire) == member.number; });
}

std::vector<bool> ClusterNodes::holders() const {
  std::vector<bool> holds(size(), false);
  for (const auto& owner : owners_) {
    const std::uint16_t number = owner.load(std::memory_order_acquire);
    if (number < holds.size()) holds[number] = true;
  }
  return holds;
}

}  // namespace tollgate::inline v0
