/// The text of a key, built without the heap. Parts longer than values/limits.hpp allows are cut, so check them first.
/// Thread safety: as any value.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "values/limits.hpp"

namespace tollgate::inline v0::decisions {

class KeyText {
 public:
  [[nodiscard]] std::string_view view() const noexcept { return {text_.data(), size_}; }

  void append(std::string_view part) noexcept {
    const std::size_t count = std::min(part.size(), text_.size() - size_);
    std::copy_n(part.data(), count, text_.data() + size_);
    size_ += count;
  }

  void append(std::int64_t number) noexcept {
    size_ = static_cast<std::size_t>(std::to_chars(text_.data() + size_, text_.data() + text_.size(), number).ptr -
                                     text_.data());
  }

  /// The end of the key of an operation's record: `<kind>:<id>:<length of id>:`. The length makes the key readable from
  /// the right, so no two pairs of a text before it and an id share a key.
  void append_operation(std::string_view kind, std::string_view operation_id) noexcept {
    append(kind);
    append(":");
    append(operation_id);
    append(":");
    append(static_cast<std::int64_t>(operation_id.size()));
    append(":");
  }

 private:
  // Besides prefix, user and id: colons, an int64, a record's kind, the length of its id, and the padding to its slot.
  // A limit's name takes the place of an id.
  static_assert(kMaxLimitNameBytes <= kMaxOperationIdBytes);
  std::array<char, kMaxKeyPrefixBytes + kMaxUserIdBytes + kMaxOperationIdBytes + 64> text_;
  std::size_t size_ = 0;
};

}  // namespace tollgate::inline v0::decisions
