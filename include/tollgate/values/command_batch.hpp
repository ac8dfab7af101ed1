/// The commands of one round trip. They are typed (operation, keys, integers, script), not text: a mock matches on
/// them, a cluster client routes by their first key, and only the transport encodes them as RESP.
/// Batches own their bytes; up to four commands with eight keys, 32 integers and 256 bytes of keys in all hold no heap
/// memory.
/// Thread safety: that of any value.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string_view>

#include "tollgate/detail/inline_array.hpp"
#include "tollgate/detail/inline_vector.hpp"
#include "tollgate/values/script.hpp"

namespace tollgate::inline v0 {

enum class Operation : std::uint8_t {
  kGet,            ///< GET key
  kIncrBy,         ///< INCRBY key integers[0]
  kExpire,         ///< EXPIRE key integers[0], in seconds
  kUnlink,         ///< UNLINK key
  kScan,           ///< SCAN integers[0] MATCH key COUNT integers[1]; the cursor's 64 bits are unsigned
  kScript,         ///< EVALSHA script, keys, integers
  kPing,           ///< PING; names no key
  kAsking,         ///< ASKING; a Cluster's node then executes the next command on a slot that is being moved to it
  kClusterShards,  ///< CLUSTER SHARDS
  kClusterSlots,   ///< CLUSTER SLOTS
};

/// The first word of the command, as in `INCRBY`.
[[nodiscard]] constexpr std::string_view name_of(Operation operation) noexcept {
  switch (operation) {
    case Operation::kGet: return "GET";
    case Operation::kIncrBy: return "INCRBY";
    case Operation::kExpire: return "EXPIRE";
    case Operation::kUnlink: return "UNLINK";
    case Operation::kScan: return "SCAN";
    case Operation::kScript: return "EVALSHA";
    case Operation::kPing: return "PING";
    case Operation::kAsking: return "ASKING";
    case Operation::kClusterShards: return "CLUSTER SHARDS";
    case Operation::kClusterSlots: return "CLUSTER SLOTS";
  }
  return "a command";
}

namespace detail {

/// The position of a key in the text of its batch.
struct KeyRange {
  std::uint32_t offset;
  std::uint32_t length;
};

}  // namespace detail

/// The keys of one command, in order. Valid until its batch is changed or destroyed.
class KeyList {
 public:
  KeyList() = default;
  KeyList(const char* text, const detail::KeyRange* ranges, std::size_t size) noexcept
      : text_(text), ranges_(ranges), size_(size) {}

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] std::string_view operator[](std::size_t index) const noexcept {
    return {text_ + ranges_[index].offset, ranges_[index].length};
  }

 private:
  const char* text_ = nullptr;
  const detail::KeyRange* ranges_ = nullptr;
  std::size_t size_ = 0;
};

/// A view of one command in its batch; valid until the batch is changed or destroyed.
struct Command {
  Operation operation;
  std::string_view key;  ///< the first of `keys`, by which the command is routed; empty where there is none
  KeyList keys;
  std::span<const std::int64_t> integers;
  const Script* script;  ///< null but for kScript
};

class CommandBatch {
 public:
  void ping() { add(Operation::kPing, {}, {}); }
  void asking() { add(Operation::kAsking, {}, {}); }
  void cluster_shards() { add(Operation::kClusterShards, {}, {}); }
  void cluster_slots() { add(Operation::kClusterSlots, {}, {}); }
  void get(std::string_view key) { add_on(Operation::kGet, key, {}); }
  void incr_by(std::string_view key, std::int64_t increment) { add_on(Operation::kIncrBy, key, {increment}); }
  void expire(std::string_view key, std::chrono::seconds ttl) { add_on(Operation::kExpire, key, {ttl.count()}); }
  void unlink(std::string_view key) { add_on(Operation::kUnlink, key, {}); }
  void scan(std::uint64_t cursor, std::string_view pattern, std::int64_t count) {
    add_on(Operation::kScan, pattern, {static_cast<std::int64_t>(cursor), count});
  }
  /// Runs `script`, which must outlive the batch, on one key.
  void run(const Script& script, std::string_view key, std::initializer_list<std::int64_t> integers) {
    add_on(Operation::kScript, key, integers, &script);
  }
  /// Likewise, on any number of keys and with any number of integers.
  void run(const Script& script, std::span<const std::string_view> keys, std::span<const std::int64_t> integers) {
    add(Operation::kScript, keys, integers, &script);
  }
  /// Appends a copy of `command`, which must be of another batch.
  void append(const Command& command) {
    const std::size_t first = ranges_.size();
    for (std::size_t i = 0; i < command.keys.size(); ++i) store(command.keys[i]);
    add_record(command.operation, first, command.keys.size(), command.integers, command.script);
  }

  [[nodiscard]] std::size_t size() const noexcept { return records_.size(); }
  [[nodiscard]] bool empty() const noexcept { return records_.empty(); }
  [[nodiscard]] Command operator[](std::size_t index) const {
    const Record& record = records_[index];
    const KeyList keys{text_.data(), ranges_.data() + record.first_key, record.key_count};
    return {record.operation, record.key_count == 0 ? std::string_view{} : keys[0], keys,
            std::span{integers_.data() + record.first_integer, record.integer_count}, record.script};
  }

 private:
  /// The ranges and the integers of one command are adjacent in ranges_ and in integers_.
  struct Record {
    Operation operation = Operation::kPing;
    std::uint32_t first_key = 0;
    std::uint32_t key_count = 0;
    std::uint32_t first_integer = 0;
    std::uint32_t integer_count = 0;
    const Script* script = nullptr;
  };

  void add_on(Operation operation, std::string_view key, std::initializer_list<std::int64_t> integers,
              const Script* script = nullptr) {
    // INCRBY and EXPIRE name the same key: its bytes are stored once.
    if (const std::size_t count = ranges_.size(); count > 0) {
      const KeyList last{text_.data(), ranges_.data() + count - 1, 1};
      if (last[0] == key) return add_record(operation, count - 1, 1, integers, script);
    }
    const std::size_t first = ranges_.size();
    store(key);
    add_record(operation, first, 1, integers, script);
  }

  void add(Operation operation, std::span<const std::string_view> keys, std::span<const std::int64_t> integers,
           const Script* script = nullptr) {
    const std::size_t first = ranges_.size();
    for (const std::string_view key : keys) store(key);
    add_record(operation, first, keys.size(), integers, script);
  }

  void add_record(Operation operation, std::size_t first_key, std::size_t key_count,
                  std::span<const std::int64_t> integers, const Script* script) {
    const std::size_t first_integer = integers_.size();
    integers_.append(integers);
    Record& record = records_.emplace_back();
    record.operation = operation;
    record.first_key = static_cast<std::uint32_t>(first_key);
    record.key_count = static_cast<std::uint32_t>(key_count);
    record.first_integer = static_cast<std::uint32_t>(first_integer);
    record.integer_count = static_cast<std::uint32_t>(integers.size());
    record.script = script;
  }

  void store(std::string_view key) {
    const auto offset = static_cast<std::uint32_t>(text_.size());
    text_.append(key);
    ranges_.push_back({offset, static_cast<std::uint32_t>(key.size())});
  }

  detail::InlineVector<Record, 4> records_;
  detail::InlineArray<detail::KeyRange, 8> ranges_;
  detail::InlineArray<std::int64_t, 32> integers_;
  detail::InlineArray<char, 256> text_;
};

}  // namespace tollgate::inline v0
