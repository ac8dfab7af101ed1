/// A sequence whose first N elements live inside the object, so that the short batches and replies of one
/// decision never allocate. Elements past N go to the heap. Not contiguous: index it.
/// Thread safety: that of std::vector.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <new>
#include <utility>
#include <vector>

namespace tollgate::inline v0::detail {

template <class T, std::size_t N>
class InlineVector {
 public:
  InlineVector() noexcept {}  // NOLINT(modernize-use-equals-default): that would zero the storage
  InlineVector(const InlineVector& other) : InlineVector{} { *this = other; }
  InlineVector(InlineVector&& other) noexcept : InlineVector{} { *this = std::move(other); }
  ~InlineVector() { clear(); }

  InlineVector& operator=(const InlineVector& other) {
    if (this == &other) return *this;
    clear();
    for (; size_ < std::min(other.size_, N); ++size_) std::construct_at(room_of(size_), other[size_]);
    rest_ = other.rest_;
    size_ = other.size_;
    return *this;
  }

  InlineVector& operator=(InlineVector&& other) noexcept {
    if (this == &other) return *this;
    clear();
    for (; size_ < std::min(other.size_, N); ++size_) std::construct_at(room_of(size_), std::move(other[size_]));
    rest_.swap(other.rest_);
    size_ = other.size_;
    other.clear();
    return *this;
  }

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }

  [[nodiscard]] T& operator[](std::size_t index) { return index < N ? *inside(index) : rest_[index - N]; }
  [[nodiscard]] const T& operator[](std::size_t index) const { return index < N ? *inside(index) : rest_[index - N]; }

  /// Reserves storage, so that appending up to `size` elements in all allocates nothing.
  void reserve(std::size_t size) {
    if (size > N) rest_.reserve(size - N);
  }

  void push_back(const T& value) { push_back(T{value}); }
  void push_back(T&& value) {
    if (size_ < N) {
      std::construct_at(room_of(size_), std::move(value));
    } else {
      rest_.push_back(std::move(value));
    }
    ++size_;
  }

  /// Appends an element to be filled in place.
  T& emplace_back() {
    T& element = size_ < N ? *::new (static_cast<void*>(room_of(size_))) T : rest_.emplace_back();
    ++size_;
    return element;
  }

  /// Heap storage is kept for later elements.
  void clear() noexcept {
    for (std::size_t i = 0; i < std::min(size_, N); ++i) std::destroy_at(inside(i));
    rest_.clear();
    size_ = 0;
  }

 private:
  // The i-th element inside; room_of where there is none yet.
  [[nodiscard]] T* room_of(std::size_t i) noexcept { return reinterpret_cast<T*>(room_.data()) + i; }
  [[nodiscard]] T* inside(std::size_t i) noexcept { return std::launder(room_of(i)); }
  [[nodiscard]] const T* inside(std::size_t i) const noexcept {
    return std::launder(reinterpret_cast<const T*>(room_.data())) + i;
  }

  alignas(T) std::array<std::byte, N * sizeof(T)> room_;
  std::vector<T> rest_;
  std::size_t size_ = 0;
};

}  // namespace tollgate::inline v0::detail
