#include "clients/keyspace.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "values/parse_integer.hpp"

namespace tollgate::inline v0 {
namespace {

constexpr std::int64_t kMaxSeconds = 1'000'000'000;  // about 31 years: keeps the arithmetic on steady time in range

/// Redis's glob, without character classes.
bool matches(std::string_view text, std::string_view pattern) {
  std::size_t star = std::string_view::npos;  // where the last '*' stood in the pattern
  std::size_t retry = 0;                      // the end of the text that this '*' has matched
  std::size_t at = 0;
  std::size_t want = 0;
  while (at < text.size()) {
    const bool escaped = want + 1 < pattern.size() && pattern[want] == '\\';
    if (want < pattern.size() && !escaped && pattern[want] == '*') {
      star = want++;
      retry = at;
    } else if (want < pattern.size() &&
               (escaped ? pattern[want + 1] == text[at] : pattern[want] == '?' || pattern[want] == text[at])) {
      want += escaped ? 2 : 1;
      ++at;
    } else if (star != std::string_view::npos) {
      want = star + 1;
      at = ++retry;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', want) == std::string_view::npos;
}

Reply wrong_type() { return Reply::error("WRONGTYPE Operation against a key holding the wrong kind of value"); }

Reply out_of_memory() { return Reply::error("OOM command not allowed when used memory > 'maxmemory'."); }

}  // namespace

std::optional<std::int64_t> Keyspace::Entry::number() const {
  if (const auto* number = std::get_if<std::int64_t>(&value)) return *number;
  return detail::parse_integer(std::get<std::string>(value));
}

std::string Keyspace::Entry::text() const {
  if (const auto* number = std::get_if<std::int64_t>(&value)) return std::to_string(*number);
  return std::get<std::string>(value);
}

Keyspace::Entry* Keyspace::find(std::string_view key) {
  if (found_last_ == entries_.end() || found_last_->first != key) found_last_ = entries_.find(key);
  if (found_last_ == entries_.end()) return nullptr;
  Entry& entry = found_last_->second;
  if (entry.expires_at && *entry.expires_at <= now_) {
    erase_found();
    return nullptr;
  }
  return &entry;
}

void Keyspace::erase_found() {
  entries_.erase(found_last_);
  found_last_ = entries_.end();
}

Keyspace::Entry* Keyspace::find_or_make(std::string_view key) {
  if (Entry* entry = find(key)) return entry;
  make_room(1);
  if (entries_.size() >= max_keys_) return nullptr;
  found_last_ = entries_.emplace(std::string{key}, Entry{}).first;
  return &found_last_->second;
}

void Keyspace::make_room(std::size_t keys) {
  const std::size_t size = entries_.size() + keys;
  if (size > purge_at_ || size > max_keys_) purge();
}

// Removes expired entries. It visits every entry, so it runs only after as many writes as the last visit left entries:
// O(1) per write.
void Keyspace::purge() {
  std::erase_if(entries_,
                [this](const auto& entry) { return entry.second.expires_at && *entry.second.expires_at <= now_; });
  found_last_ = entries_.end();
  purge_at_ = std::max<std::size_t>(1024, 2 * entries_.size());
}

Reply Keyspace::get(std::string_view key) {
  const Entry* entry = find(key);
  if (entry == nullptr) return {};
  return entry->is_hash() ? wrong_type() : Reply::string(entry->text());
}

Reply Keyspace::incr_by(std::string_view key, std::int64_t increment) {
  Entry* entry = find(key);
  if (entry != nullptr && entry->is_hash()) return wrong_type();
  const auto held = entry != nullptr ? entry->number() : std::optional<std::int64_t>{0};
  if (!held) return Reply::error("ERR value is not an integer or out of range");
  std::int64_t value = *held;
  if (__builtin_add_overflow(value, increment, &value)) {
    return Reply::error("ERR increment or decrement would overflow");
  }
  if (entry == nullptr) entry = find_or_make(key);
  if (entry == nullptr) return out_of_memory();
  entry->value = value;
  return Reply::integer(value);
}

Reply Keyspace::expire(std::string_view key, std::int64_t seconds) {
  Entry* entry = find(key);
  if (entry == nullptr) return Reply::integer(0);
  entry->expires_at = now_ + std::chrono::seconds{std::min(seconds, kMaxSeconds)};
  return Reply::integer(1);
}

Reply Keyspace::ttl(std::string_view key) {
  const std::int64_t ms = pttl(key).to_integer().value_or(-2);
  return Reply::integer(ms < 0 ? ms : (ms + 500) / 1000);  // as Redis rounds
}

Reply Keyspace::pttl(std::string_view key) {
  const Entry* entry = find(key);
  if (entry == nullptr) return Reply::integer(-2);
  if (!entry->expires_at) return Reply::integer(-1);
  return Reply::integer(std::chrono::round<std::chrono::milliseconds>(*entry->expires_at - now_).count());
}

Reply Keyspace::unlink(std::string_view key) {
  if (find(key) == nullptr) return Reply::integer(0);
  erase_found();
  return Reply::integer(1);
}

Reply Keyspace::set(std::string_view key, std::string value, std::int64_t seconds) {
  Entry* entry = find_or_make(key);
  if (entry == nullptr) return out_of_memory();
  entry->value = std::move(value);
  entry->expires_at = now_ + std::chrono::seconds{std::min(seconds, kMaxSeconds)};
  return Reply::status("OK");
}

Reply Keyspace::set_all(std::span<KeyWrite> writes) {
  make_room(writes.size());
  std::size_t missing = 0;
  for (const KeyWrite& write : writes) missing += find(write.key) == nullptr ? 1 : 0;
  if (entries_.size() + missing > max_keys_) return out_of_memory();

  // First all that may throw. New entries have expired until they are written.
  std::vector<Entry*> found;
  found.reserve(writes.size());
  for (const KeyWrite& write : writes) {
    Entry* entry = find(write.key);
    if (entry == nullptr) {
      entry = &entries_.emplace(std::string{write.key}, Entry{}).first->second;
      entry->expires_at = now_;
    }
    found.push_back(entry);
  }
  for (std::size_t i = 0; i < writes.size(); ++i) {
    found[i]->value = std::move(writes[i].value);
    found[i]->expires_at = now_ + std::chrono::milliseconds{std::min(writes[i].milliseconds, kMaxSeconds * 1000)};
  }
  return Reply::status("OK");
}

Reply Keyspace::hset(std::string_view key, std::string_view field, std::string value) {
  auto fields = std::make_unique<Fields>();
  Entry* entry = find(key);
  if (entry != nullptr && !entry->is_hash()) return wrong_type();
  if (entry == nullptr) {
    entry = find_or_make(key);
    if (entry == nullptr) return out_of_memory();
    entry->value = std::move(fields);
  }
  const bool added =
      std::get<std::unique_ptr<Fields>>(entry->value)->insert_or_assign(std::string{field}, std::move(value)).second;
  return Reply::integer(added ? 1 : 0);
}

Reply Keyspace::hget(std::string_view key, std::string_view field) {
  const Entry* entry = find(key);
  if (entry == nullptr) return {};
  if (!entry->is_hash()) return wrong_type();
  const Fields& fields = *std::get<std::unique_ptr<Fields>>(entry->value);
  const auto found = fields.find(field);
  return found != fields.end() ? Reply::string(found->second) : Reply{};
}

Reply Keyspace::execute(const Command& command) {
  switch (command.operation) {
    case Operation::kGet: return get(command.key);
    case Operation::kIncrBy: return incr_by(command.key, command.integers[0]);
    case Operation::kExpire: return expire(command.key, command.integers[0]);
    case Operation::kUnlink: return unlink(command.key);
    case Operation::kScan: return scan(command.key);
    case Operation::kPing: return Reply::status("PONG");
    case Operation::kScript:  // run by script_twins.hpp
    case Operation::kAsking:
    case Operation::kClusterShards:
    case Operation::kClusterSlots: break;
  }
  return Reply::error("ERR unknown command");
}

Reply Keyspace::scan(std::string_view pattern) {
  purge();
  std::vector<Reply> keys;
  for (const auto& [key, entry] : entries_) {
    if (matches(key, pattern)) keys.push_back(Reply::string(key));
  }
  return Reply::array({Reply::string("0"), Reply::array(std::move(keys))});
}

}  // namespace tollgate::inline v0
