/// A contiguous sequence of plain values that is only appended to, of which the first N live inside the object. Only
/// elements that are in use are copied; others are not written either, unless T has initialisers.
/// Thread safety: that of std::vector.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <type_traits>
#include <utility>

namespace tollgate::inline v0::detail {

template <class T, std::size_t N>
class InlineArray {
  static_assert(std::is_trivially_copyable_v<T> && std::is_default_constructible_v<T>);

 public:
  InlineArray() noexcept {}  // NOLINT(modernize-use-equals-default): that would zero the storage
  InlineArray(const InlineArray& other) : InlineArray{} { append(other.view()); }
  InlineArray(InlineArray&& other) noexcept : InlineArray{} { take(other); }
  ~InlineArray() { release(); }

  InlineArray& operator=(const InlineArray& other) {
    if (this == &other) return *this;
    reserve(other.size_);
    size_ = 0;
    append(other.view());
    return *this;
  }

  InlineArray& operator=(InlineArray&& other) noexcept {
    if (this == &other) return *this;
    release();
    take(other);
    return *this;
  }

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  /// Valid until the next append.
  [[nodiscard]] const T* data() const noexcept { return data_; }
  [[nodiscard]] std::span<const T> view() const noexcept { return {data_, size_}; }

  // Neither changes anything when it throws std::bad_alloc. What is appended must not be part of this sequence.

  void push_back(T value) {
    if (size_ == capacity_) reserve(size_ + 1);
    data_[size_++] = value;
  }

  void append(std::span<const T> elements) {
    if (elements.size() > capacity_ - size_) reserve(size_ + elements.size());
    std::copy(elements.begin(), elements.end(), data_ + size_);
    size_ += elements.size();
  }

 private:
  void reserve(std::size_t count) {
    if (count <= capacity_) return;
    const std::size_t capacity = std::max(count, 2 * capacity_);
    T* const heap = new T[capacity];
    std::copy_n(data_, size_, heap);
    if (data_ != room_.data()) delete[] data_;
    data_ = heap;
    capacity_ = capacity;
  }

  void release() noexcept {
    if (data_ != room_.data()) delete[] data_;
    data_ = room_.data();
    capacity_ = N;
    size_ = 0;
  }

  /// Of an empty array that holds no heap memory; leaves `other` so.
  void take(InlineArray& other) noexcept {
    size_ = other.size_;
    if (other.data_ == other.room_.data()) {
      std::copy_n(other.data_, size_, data_);
    } else {
      data_ = std::exchange(other.data_, other.room_.data());
      capacity_ = std::exchange(other.capacity_, N);
    }
    other.size_ = 0;
  }

  std::array<T, N> room_;  // before its pointer
  T* data_ = room_.data();
  std::size_t size_ = 0;
  std::size_t capacity_ = N;
};

}  // namespace tollgate::inline v0::detail
