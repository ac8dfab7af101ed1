/// Fields as printable text that another process can read: `<start><fields in hex>.<tag in hex>`. The first field is a
/// fingerprint of the key prefix, and the tag is HMAC-SHA-256 over key prefix and fields. Without a secret the tag
/// guards against damage only. Thread safety: plain values and functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace tollgate::inline v0 {

/// Under what a text is signed and checked.
struct Signature {
  std::string_view start;       ///< of every text of this kind, with its version: "tg2."
  std::string_view key_prefix;  ///< of the limiter; a text of another is refused
  std::string_view secret;      ///< empty = none
  std::size_t most_bytes;       ///< longer texts are refused
  std::string_view maker;       ///< the function that makes such texts, for messages
};

/// The fields of a text to be made.
class FieldWriter {
 public:
  void number(std::uint64_t number, std::size_t bytes) {
    for (std::size_t i = bytes; i-- > 0;) fields_ += static_cast<char>(number >> (8 * i) & 0xFFU);
  }
  void integer(std::int64_t value) { number(static_cast<std::uint64_t>(value), sizeof value); }
  /// At most 65'535 bytes.
  void text(std::string_view text) {
    number(text.size(), 2);
    fields_ += text;
  }
  [[nodiscard]] const std::string& fields() const noexcept { return fields_; }

 private:
  std::string fields_;
};

/// Reads fields in the order in which they were written. When one is missing, it and all later ones are empty.
class FieldReader {
 public:
  explicit FieldReader(std::string fields) : fields_(std::move(fields)), rest_(fields_) {}
  FieldReader(const FieldReader&) = delete;
  FieldReader& operator=(const FieldReader&) = delete;

  std::uint64_t number(std::size_t count) {
    std::uint64_t value = 0;
    for (const char character : bytes(count)) value = value << 8U | static_cast<unsigned char>(character);
    return value;
  }
  std::int64_t integer() { return static_cast<std::int64_t>(number(8)); }
  std::string text() { return std::string{bytes(static_cast<std::size_t>(number(2)))}; }

  /// Whether every field read so far was there.
  [[nodiscard]] bool is_whole() const noexcept { return whole_; }
  /// Likewise, and nothing else is.
  [[nodiscard]] bool is_complete() const noexcept { return whole_ && rest_.empty(); }

 private:
  std::string_view bytes(std::size_t count) {
    whole_ = whole_ && count <= rest_.size();
    if (!whole_) return {};
    const std::string_view taken = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return taken;
  }

  const std::string fields_;
  std::string_view rest_;
  bool whole_ = true;
};

[[nodiscard]] std::string sign(const FieldWriter& fields, const Signature& signature);

/// The fields of a text. Throws std::invalid_argument with the error in it.
[[nodiscard]] FieldReader read_signed(std::string_view text, const Signature& signature);

/// Throws std::invalid_argument. A text holds user data, so the message has its length alone.
[[noreturn]] void reject_signed(std::string_view text, const Signature& signature, std::string_view why);
inline constexpr std::string_view kNoSuchFields = "it is damaged: its fields do not fit its length";

}  // namespace tollgate::inline v0
