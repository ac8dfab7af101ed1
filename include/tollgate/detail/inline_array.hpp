/// A contiguous sequence of plain values that is only appended to, of which the first N live inside the object. Only
/// elements that are in use are ever written or copied. Thread safety: that of std::vector.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

namespace tollgate::inline v0::detail {

template <class T, std::size_t N>
class InlineArray {
  static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_default_constructible_v<T>);

 public:
  InlineArray() noexcept {}  // NOLINT(modernize-use-equals-default): that would write zeros all over the room
  InlineArray(const InlineArray& other) : InlineArray{} { *this = other; }
  InlineArray(InlineArray&& other) noexcept : InlineArray{} { *this = std::move(other); }
  ~InlineArray() = default;

  InlineArray& operator=(const InlineArray& other) {
    if (this == &other) return *this;
    heap_ = other.heap_;
    copy_inside(other);
    return *this;
  }

  InlineArray& operator=(InlineArray&& other) noexcept {
    if (this == &other) return *this;
    heap_ = std::move(other.heap_);
    copy_inside(other);
    other.heap_.clear();
    other.size_ = 0;
    return *this;
  }

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  /// Valid until the next append.
  [[nodiscard]] const T* data() const noexcept { return heap_.empty() ? room_.data() : heap_.data(); }

  /// `elements` must not be part of this sequence. Changes nothing when it throws std::bad_alloc.
  void append(std::span<const T> elements) {
    if (heap_.empty() && elements.size() <= N - size_) {
      std::copy(elements.begin(), elements.end(), room_.begin() + static_cast<std::ptrdiff_t>(size_));
    } else if (heap_.empty()) {
      std::vector<T> all;
      all.reserve(2 * (size_ + elements.size()));
      all.assign(room_.begin(), room_.begin() + static_cast<std::ptrdiff_t>(size_));
      all.insert(all.end(), elements.begin(), elements.end());
      heap_ = std::move(all);
    } else {
      heap_.insert(heap_.end(), elements.begin(), elements.end());
    }
    size_ += elements.size();
  }

 private:
  void copy_inside(const InlineArray& other) noexcept {
    size_ = other.size_;
    if (heap_.empty()) std::copy_n(other.room_.begin(), size_, room_.begin());
  }

  std::array<T, N> room_;
  std::vector<T> heap_;  // once not empty, it holds all of the elements
  std::size_t size_ = 0;
};

}  // namespace tollgate::inline v0::detail
