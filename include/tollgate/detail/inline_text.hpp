/// Text that is only appended to, of which the first N bytes live inside the object. Only bytes that are in use are
/// ever written or copied. Thread safety: that of std::string.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace tollgate::inline v0::detail {

template <std::size_t N>
class InlineText {
 public:
  InlineText() noexcept {}  // NOLINT(modernize-use-equals-default): that would write zeros all over the room
  InlineText(const InlineText& other) : InlineText{} { *this = other; }
  InlineText(InlineText&& other) noexcept : InlineText{} { *this = std::move(other); }
  ~InlineText() = default;

  InlineText& operator=(const InlineText& other) {
    if (this == &other) return *this;
    heap_ = other.heap_;
    copy_inside(other);
    return *this;
  }

  InlineText& operator=(InlineText&& other) noexcept {
    if (this == &other) return *this;
    heap_ = std::move(other.heap_);
    copy_inside(other);
    other.heap_.clear();
    other.size_ = 0;
    return *this;
  }

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::string_view view() const noexcept { return {heap_.empty() ? room_.data() : heap_.data(), size_}; }

  void append(std::string_view text) {
    if (heap_.empty() && text.size() <= N - size_) {
      std::copy(text.begin(), text.end(), room_.begin() + static_cast<std::ptrdiff_t>(size_));
    } else {
      if (heap_.empty()) heap_.assign(room_.data(), size_);
      heap_.append(text);
    }
    size_ += text.size();
  }

 private:
  void copy_inside(const InlineText& other) noexcept {
    size_ = other.size_;
    if (heap_.empty()) std::copy_n(other.room_.begin(), size_, room_.begin());
  }

  std::array<char, N> room_;
  std::string heap_;  // once not empty, it holds all of the text
  std::size_t size_ = 0;
};

}  // namespace tollgate::inline v0::detail
