// Keys and patterns: a user's counters are found by the pattern and distinguished from all others, as a plain reference
// does, and as Redis's own globbing would.
#include <array>
#include <charconv>
#include <chrono>
#include <string>

#include "clients/keyspace.hpp"
#include "decisions/keys.hpp"
#include "fuzz/fuzz.hpp"
#include "values/hash_slot.hpp"

namespace tollgate::fuzz {
namespace {

using decisions::Key;

bool is_integer(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size();
}

/// `<prefix>:<user>:<integer>`, cut at the last colon.
bool is_counter_by_reference(const std::string& key, const std::string& prefix, const std::string& user) {
  const std::size_t last = key.rfind(':');
  if (last == std::string::npos) return false;
  return key.substr(0, last) == prefix + ':' + user && is_integer(std::string_view{key}.substr(last + 1));
}

/// Redis's stringmatchlen without classes, which our patterns never hold.
bool matches_glob(std::string_view pattern, std::string_view text) {
  if (pattern.empty()) return text.empty();
  if (pattern[0] == '*') {
    for (std::size_t skipped = 0; skipped <= text.size(); ++skipped) {
      if (matches_glob(pattern.substr(1), text.substr(skipped))) return true;
    }
    return false;
  }
  if (text.empty()) return false;
  if (pattern[0] == '?') return matches_glob(pattern.substr(1), text.substr(1));
  require(pattern[0] != '[', "a pattern has no class");
  const std::size_t literal = pattern[0] == '\\' && pattern.size() > 1 ? 1 : 0;
  return pattern[literal] == text[0] && matches_glob(pattern.substr(literal + 1), text.substr(1));
}

void check_key(const std::string& key, const std::string& prefix, const std::string& user) {
  const bool is_counter = decisions::is_counter_of(key, prefix, user);
  require(is_counter == is_counter_by_reference(key, prefix, user), "a key is a counter when the reference says so");
  const std::string pattern = decisions::counters_pattern(prefix, user);
  const bool matches = matches_glob(pattern, key);
  require(matches || !is_counter, "the pattern matches every counter");

  Keyspace keys{10};
  keys.set(key, "1", 60);
  const bool found = !keys.scan(pattern).elements()[1].elements().empty();
  require(found == matches, "memory:// finds what Redis finds");
}

void run(const std::uint8_t* data, std::size_t size) {
  Input input{data, size};
  const std::string prefix = input.text();
  const std::string user = input.text();
  const std::string other = input.text();
  const std::string id = input.text().substr(0, kMaxOperationIdBytes);
  const std::int64_t minute = input.integer();
  const std::string any{input.rest().substr(0, 200)};

  const std::string counter{Key::counter(prefix, user, {minute}).view()};
  require(counter == prefix + ':' + user + ':' + std::to_string(minute), "a counter's key has the reference's bytes");
  require(tollgate::decisions::is_counter_of(counter, prefix, user), "a counter is its user's");
  require(user == other || !tollgate::decisions::is_counter_of(counter, prefix, other),
          "a counter belongs to one user");

  for (const std::string& key : {counter, any, std::string{prefix}.append(any), counter + any,
                                 std::string{prefix}.append(":").append(user).append(":").append(any)}) {
    check_key(key, prefix, user);
    check_key(key, prefix, other);
  }

  const std::string operation{Key::operation(prefix, user, "charge", id).view()};
  require(!is_counter_by_reference(operation, prefix, operation), "a record is no counter");
  check_key(operation, prefix, user);
  const std::string others{Key::operation(prefix, other, "charge", any.substr(0, 128)).view()};
  require(operation != others || (user == other && id == any.substr(0, 128)), "two operations share no record");
  const Key in_slot = Key::operation(prefix, user, {minute}, "charge", id);
  require(hash_slot(in_slot.view()) == hash_slot(counter), "a record can lie in the slot of its counter");
  require(!is_counter_by_reference(std::string{in_slot.view()}, prefix, user), "a record in the slot is no counter");
  check_key(std::string{in_slot.view()}, prefix, user);
  require(operation != Key::operation(prefix, other, "adjust", any.substr(0, 128)).view(),
          "operations of two kinds share no record");
}

}  // namespace
}  // namespace tollgate::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tollgate::fuzz::run(data, size);
  return 0;
}
