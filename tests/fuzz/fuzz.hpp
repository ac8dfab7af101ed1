/// Helpers of fuzz targets: reading an input piece by piece, and reporting a violated requirement.
/// Thread safety: plain values.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

namespace tollgate::fuzz {

/// Ends the process when `holds` is false; the fuzzer then shows the input.
inline void require(bool holds, std::string_view what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %.*s\n", static_cast<int>(what.size()), what.data());
  std::abort();
}

/// An input as a sequence of choices. When it has ended, every choice is 0 or empty.
class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : rest_(reinterpret_cast<const char*>(data), size) {}

  [[nodiscard]] bool empty() const noexcept { return rest_.empty(); }

  std::uint8_t byte() { return rest_.empty() ? std::uint8_t{0} : static_cast<std::uint8_t>(take(1)[0]); }

  std::int64_t integer() {
    std::uint64_t value = 0;
    for (const char character : take(8)) value = value << 8U | static_cast<std::uint8_t>(character);
    return static_cast<std::int64_t>(value);
  }

  /// Its length comes first, in one byte.
  std::string text() { return std::string{take(byte())}; }

  std::string_view rest() { return take(rest_.size()); }

 private:
  std::string_view take(std::size_t count) {
    const std::string_view taken = rest_.substr(0, std::min(count, rest_.size()));
    rest_.remove_prefix(taken.size());
    return taken;
  }

  std::string_view rest_;
};

}  // namespace tollgate::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
