/// The leases of a concurrency limit: each holds slots until it is given back, or ends because it was not renewed.
/// Thread safety: that of any value.
#pragma once

#include "values/windows/window_terms.hpp"

namespace tollgate::inline v0::windows {

class Leases {
 public:
  [[nodiscard]] static std::optional<Leases> load(const WindowTerms& terms, const StoredNumbers& stored);

  /// At most Window::kMaxSlots.
  [[nodiscard]] std::int64_t max() const noexcept { return terms_.max; }
  [[nodiscard]] std::int64_t used() const noexcept { return used_; }
  /// A lease that holds as many slots already fits, also where a lower max has come into force.
  [[nodiscard]] std::int64_t excess(std::int64_t cost) const noexcept;
  /// The lease holds `cost` slots afterwards, or as many as before when that is more; and lasts anew. Never more leases
  /// than Window::kMaxSlots.
  bool take(std::int64_t cost);
  bool give_back(std::int64_t slots) noexcept;
  /// Until enough other leases have ended, should none be renewed or given back.
  [[nodiscard]] std::int64_t wait(std::int64_t excess) const noexcept;
  [[nodiscard]] std::int64_t reset() const noexcept;
  [[nodiscard]] std::int64_t life() const noexcept { return reset(); }
  /// The lease's id while it holds slots; else 0.
  [[nodiscard]] std::int64_t window() const noexcept { return own_ ? terms_.window : 0; }
  void store(std::vector<std::int64_t>& numbers) const;

 private:
  struct Lease {
    std::int64_t id;
    std::int64_t slots;
    std::int64_t end;  // Unix time in ms
  };

  explicit Leases(const WindowTerms& terms) noexcept;

  [[nodiscard]] std::int64_t held() const noexcept { return own_ ? leases_[*own_].slots : 0; }
  void remove_own() noexcept;

  WindowTerms terms_;
  std::vector<Lease> leases_;       // the next to end first
  std::optional<std::size_t> own_;  // the index of the lease that the terms name
  std::int64_t used_ = 0;
};

}  // namespace tollgate::inline v0::windows
