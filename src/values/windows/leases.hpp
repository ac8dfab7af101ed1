/// The leases of a concurrency limit: each holds slots until they are given back, or until it ends because it was not
/// renewed.
///
/// The stored text is how many slots are held, then ` <id>:<slots>:<end>` for each lease, the next to end first. It
/// stays a text: only the leases that have ended, the lease of the charge and the last one are taken apart, because
/// there may be a thousand, and Redis does nothing else meanwhile.
///
/// Thread safety: that of any value.
#pragma once

#include <string>
#include <string_view>

#include "values/windows/window_terms.hpp"

namespace tollgate::inline v0::windows {

class Leases {
 public:
  [[nodiscard]] static std::optional<Leases> load(const WindowTerms& terms, std::optional<std::string_view> stored);

  /// At most Window::kMaxSlots.
  [[nodiscard]] std::int64_t max() const noexcept { return terms_.max; }
  [[nodiscard]] std::int64_t used() const noexcept { return used_; }
  /// A lease that holds as many slots already fits, also where a lower max has come into force.
  [[nodiscard]] std::int64_t excess(std::int64_t cost) const noexcept;
  /// The lease holds `cost` slots afterwards, or as many as before when that is more; and lasts anew. Never more slots
  /// in all than Window::kMaxSlots.
  bool take(std::int64_t cost);
  bool give_back(std::int64_t slots);
  /// Until enough other leases have ended, should none be renewed or given back.
  [[nodiscard]] std::int64_t wait(std::int64_t excess) const noexcept;
  [[nodiscard]] std::int64_t reset() const noexcept { return list_.empty() ? 0 : last_end_ - terms_.now; }
  [[nodiscard]] std::int64_t life() const noexcept { return reset(); }
  /// The lease's id while it holds slots; else 0.
  [[nodiscard]] std::int64_t window() const noexcept { return held_ > 0 ? terms_.window : 0; }
  void store(std::string& text) const;

 private:
  /// The place of the charge's lease in the list.
  struct Place {
    std::size_t begin;
    std::size_t end;
    std::int64_t lease_end;  // Unix time in ms, as last_end_
  };

  explicit Leases(const WindowTerms& terms) noexcept;

  [[nodiscard]] bool drop_ended(std::string_view list);
  [[nodiscard]] bool find_own();
  /// Puts `lease` in the place of the charge's own.
  void replace_own(std::string_view lease);

  WindowTerms terms_;
  std::string list_;
  std::int64_t used_ = 0;
  std::int64_t last_end_ = 0;
  std::int64_t held_ = 0;  // by the charge's lease
  std::optional<Place> own_;
};

}  // namespace tollgate::inline v0::windows
