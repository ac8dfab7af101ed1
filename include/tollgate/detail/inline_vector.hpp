/// A sequence whose first N elements live inside the object, so that the short batches and replies of one
/// decision never allocate. Elements past N go to the heap. Not contiguous: index it.
/// Thread safety: that of std::vector.
#pragma once

#include <array>
#include <cstddef>
#include <utility>
#include <vector>

namespace tollgate::inline v0::detail {

template <class T, std::size_t N>
class InlineVector {
 public:
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }

  [[nodiscard]] T& operator[](std::size_t index) { return index < N ? first_[index] : rest_[index - N]; }
  [[nodiscard]] const T& operator[](std::size_t index) const { return index < N ? first_[index] : rest_[index - N]; }

  void push_back(T value) {
    if (size_ < N) {
      first_[size_] = std::move(value);
    } else {
      rest_.push_back(std::move(value));
    }
    ++size_;
  }

  /// Forgets the elements; the room of those inside is reused by the next push_back.
  void clear() noexcept {
    rest_.clear();
    size_ = 0;
  }

 private:
  std::array<T, N> first_{};
  std::vector<T> rest_;
  std::size_t size_ = 0;
};

}  // namespace tollgate::inline v0::detail
