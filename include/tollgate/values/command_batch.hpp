/// The commands that make one round trip. They are typed (operation, key, integers, script), not text: a mock
/// matches on them, a cluster routes by their key, and RESP is written by the hiredis client alone.
/// Batches own their bytes; up to four commands and 256 bytes of keys hold no heap memory.
/// Thread safety: that of any value.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string_view>

#include "tollgate/detail/inline_text.hpp"
#include "tollgate/detail/inline_vector.hpp"
#include "tollgate/values/script.hpp"

namespace tollgate::inline v0 {

enum class Operation : std::uint8_t {
  kGet,     ///< GET key
  kIncrBy,  ///< INCRBY key integers[0]
  kExpire,  ///< EXPIRE key integers[0], in seconds
  kUnlink,  ///< UNLINK key
  kScan,    ///< SCAN integers[0] MATCH key COUNT integers[1]; the cursor's 64 bits are unsigned
  kScript,  ///< EVALSHA script, key [second_key], integers
  kPing,    ///< PING; names no key
};

/// One command, seen inside its batch; valid as long as the batch is neither changed nor gone.
struct Command {
  Operation operation;
  std::string_view key;
  std::string_view second_key;
  std::span<const std::int64_t> integers;
  const Script* script;
};

class CommandBatch {
 public:
  static constexpr std::size_t kMaxIntegers = 5;  ///< of one command

  void ping() { add(Operation::kPing, {}, {}); }
  void get(std::string_view key) { add(Operation::kGet, key, {}); }
  void incr_by(std::string_view key, std::int64_t increment) { add(Operation::kIncrBy, key, {increment}); }
  void expire(std::string_view key, std::chrono::seconds ttl) { add(Operation::kExpire, key, {ttl.count()}); }
  void unlink(std::string_view key) { add(Operation::kUnlink, key, {}); }
  void scan(std::uint64_t cursor, std::string_view pattern, std::int64_t count) {
    add(Operation::kScan, pattern, {static_cast<std::int64_t>(cursor), count});
  }
  /// At most kMaxIntegers integers; `script` must outlive the batch.
  void run(const Script& script, std::string_view key, std::initializer_list<std::int64_t> integers,
           std::string_view second_key = {}) {
    add(Operation::kScript, key, integers, second_key, &script);
  }

  [[nodiscard]] std::size_t size() const noexcept { return records_.size(); }
  [[nodiscard]] bool empty() const noexcept { return records_.empty(); }
  [[nodiscard]] Command operator[](std::size_t index) const {
    const Record& record = records_[index];
    return {record.operation, view(record.key), view(record.second_key),
            std::span{record.integers}.first(record.integer_count), record.script};
  }

 private:
  struct Range {
    std::size_t offset = 0;
    std::size_t length = 0;
  };
  struct Record {
    Operation operation = Operation::kGet;
    std::uint8_t integer_count = 0;
    Range key;
    Range second_key;
    std::array<std::int64_t, kMaxIntegers> integers{};
    const Script* script = nullptr;
  };

  void add(Operation operation, std::string_view key, std::initializer_list<std::int64_t> integers,
           std::string_view second_key = {}, const Script* script = nullptr) {
    // INCRBY and EXPIRE name the same key: its bytes are kept once.
    const Record* const last = records_.empty() ? nullptr : &records_[records_.size() - 1];
    const Range key_range = last != nullptr && view(last->key) == key ? last->key : store(key);
    const Range second_key_range = store(second_key);
    Record& record = records_.emplace_back();
    record.operation = operation;
    record.integer_count = static_cast<std::uint8_t>(std::min(integers.size(), kMaxIntegers));
    std::copy_n(integers.begin(), record.integer_count, record.integers.begin());
    record.key = key_range;
    record.second_key = second_key_range;
    record.script = script;
  }

  Range store(std::string_view text) {
    const Range range{text_.size(), text.size()};
    text_.append(text);
    return range;
  }

  [[nodiscard]] std::string_view view(Range range) const { return text_.view().substr(range.offset, range.length); }

  detail::InlineVector<Record, 4> records_;
  detail::InlineText<256> text_;
};

}  // namespace tollgate::inline v0
