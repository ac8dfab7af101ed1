#include "transport/resp_encoder.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <concepts>

namespace tollgate::inline v0 {
namespace {

constexpr std::size_t kDigits = 20;  // of a 64-bit integer, with its sign

// These write from `to` on and return the end of what they wrote.

char* put(char* to, std::string_view text) { return std::copy(text.begin(), text.end(), to); }

char* put(char* to, std::integral auto number) { return std::to_chars(to, to + kDigits, number).ptr; }

/// `*` and the number of an array's elements, or `$` and that of a string's bytes.
char* put_header(char* to, char type, std::size_t count) {
  *to++ = type;
  return put(put(to, count), "\r\n");
}
constexpr std::size_t kMostOfHeader = 1 + kDigits + 2;

void append_array_header(RespBuffer& out, std::size_t count) {
  out.append_with(kMostOfHeader, [&](char* to) { return put_header(to, '*', count); });
}

void append_bulk(RespBuffer& out, std::string_view text) {
  out.append_with(kMostOfHeader + text.size() + 2,
                  [&](char* to) { return put(put(put_header(to, '$', text.size()), text), "\r\n"); });
}

void append_bulk(RespBuffer& out, std::integral auto number) {
  out.append_with(kMostOfHeader + kDigits + 2, [&](char* to) {
    std::array<char, kDigits> digits;
    const auto count = static_cast<std::size_t>(put(digits.data(), number) - digits.data());
    to = put_header(to, '$', count);
    std::copy(digits.begin(), digits.end(), to);  // all of them, because a copy of constant size is faster
    return put(to + count, "\r\n");
  });
}

void append_words(RespBuffer& out, std::initializer_list<std::string_view> words) {
  append_array_header(out, words.size());
  for (const std::string_view word : words) append_bulk(out, word);
}

/// `start`: the header of the whole command, and its name.
void append_with_key(RespBuffer& out, std::string_view start, const Command& command) {
  out.append(start);
  append_bulk(out, command.key);
  for (const std::int64_t integer : command.integers) append_bulk(out, integer);
}

void append_script(RespBuffer& out, const Command& command, Serial serial, ScriptForm form) {
  const std::size_t keys = command.keys.size();
  append_array_header(out, 4 + keys + command.integers.size());
  if (form == ScriptForm::kEvalSha) {
    append_bulk(out, "EVALSHA");
    append_bulk(out, command.script->sha1);
  } else {
    append_bulk(out, "EVAL");
    append_bulk(out, command.script->source);
  }
  append_bulk(out, keys);
  for (std::size_t i = 0; i < keys; ++i) append_bulk(out, command.keys[i]);
  for (const std::int64_t integer : command.integers) append_bulk(out, integer);
  append_bulk(out, serial);
}

/// The cursor's 64 bits are unsigned.
void append_scan(RespBuffer& out, const Command& command) {
  append_array_header(out, 6);
  append_bulk(out, "SCAN");
  append_bulk(out, static_cast<std::uint64_t>(command.integers[0]));
  append_bulk(out, "MATCH");
  append_bulk(out, command.key);
  append_bulk(out, "COUNT");
  append_bulk(out, command.integers[1]);
}

void append_command(RespBuffer& out, const Command& command, Serial serial, ScriptForm form) {
  switch (command.operation) {
    case Operation::kGet: return append_with_key(out, "*2\r\n$3\r\nGET\r\n", command);
    case Operation::kIncrBy: return append_with_key(out, "*3\r\n$6\r\nINCRBY\r\n", command);
    case Operation::kExpire: return append_with_key(out, "*3\r\n$6\r\nEXPIRE\r\n", command);
    case Operation::kUnlink: return append_with_key(out, "*2\r\n$6\r\nUNLINK\r\n", command);
    case Operation::kScript: return append_script(out, command, serial, form);
    case Operation::kScan: return append_scan(out, command);
    case Operation::kPing: return append_words(out, {"PING"});
    case Operation::kAsking: return append_words(out, {"ASKING"});
    case Operation::kClusterShards: return append_words(out, {"CLUSTER", "SHARDS"});
    case Operation::kClusterSlots: return append_words(out, {"CLUSTER", "SLOTS"});
  }
}

}  // namespace

void append_resp(RespBuffer& out, const CommandBatch& batch, Serial serial, ScriptForm form) {
  bool is_asked = false;
  for (std::size_t i = 0; i < batch.size(); ++i) {
    const Command command = batch[i];
    // With its source: ASKING does not count for a script that is sent again after NOSCRIPT.
    append_command(out, command, serial_of(serial, i), is_asked ? ScriptForm::kEval : form);
    is_asked = command.operation == Operation::kAsking;
  }
}

void append_resp(std::string& out, const Command& command, Serial serial, ScriptForm form) {
  RespBuffer bytes;
  append_command(bytes, command, serial, form);
  out.append(bytes.view());
}

void append_resp(std::string& out, const CommandBatch& batch, Serial serial, ScriptForm form) {
  RespBuffer bytes;
  append_resp(bytes, batch, serial, form);
  out.append(bytes.view());
}

void append_resp(std::string& out, std::initializer_list<std::string_view> words) {
  RespBuffer bytes;
  append_words(bytes, words);
  out.append(bytes.view());
}

void append_auth(std::string& out, const Credentials& credentials) {
  if (credentials.username.empty()) return append_resp(out, {"AUTH", credentials.password});
  append_resp(out, {"AUTH", credentials.username, credentials.password});
}

}  // namespace tollgate::inline v0
