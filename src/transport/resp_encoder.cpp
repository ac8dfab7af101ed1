#include "transport/resp_encoder.hpp"

#include <array>
#include <charconv>

namespace tollgate::inline v0 {
namespace {

template <class Integer>
class Decimal {
 public:
  explicit Decimal(Integer value) noexcept
      : size_(static_cast<std::size_t>(std::to_chars(digits_.data(), digits_.data() + digits_.size(), value).ptr -
                                       digits_.data())) {}
  [[nodiscard]] std::string_view view() const noexcept { return {digits_.data(), size_}; }

 private:
  std::array<char, 20> digits_;
  std::size_t size_;
};

// `Out` is std::string or RespBuffer.

template <class Out>
void append_header(Out& out, char type, std::size_t count) {
  out.append(std::string_view{&type, 1});
  out.append(Decimal{count}.view());
  out.append(std::string_view{"\r\n"});
}

template <class Out>
void append_bulk(Out& out, std::string_view text) {
  append_header(out, '$', text.size());
  out.append(text);
  out.append(std::string_view{"\r\n"});
}

template <class Out>
void append_bulk(Out& out, std::int64_t number) {
  append_bulk(out, Decimal{number}.view());
}

template <class Out>
void append_script(Out& out, const Command& command, Serial serial, ScriptForm form) {
  const std::size_t keys = command.keys.size();
  append_header(out, '*', 4 + keys + command.integers.size());
  if (form == ScriptForm::kEvalSha) {
    append_bulk(out, "EVALSHA");
    append_bulk(out, command.script->sha1);
  } else {
    append_bulk(out, "EVAL");
    append_bulk(out, command.script->source);
  }
  append_bulk(out, static_cast<std::int64_t>(keys));
  for (std::size_t i = 0; i < keys; ++i) append_bulk(out, command.keys[i]);
  for (const std::int64_t integer : command.integers) append_bulk(out, integer);
  append_bulk(out, std::int64_t{serial});
}

template <class Out>
void append_words(Out& out, std::initializer_list<std::string_view> words) {
  append_header(out, '*', words.size());
  for (const std::string_view word : words) append_bulk(out, word);
}

template <class Out>
void append_command(Out& out, const Command& command, Serial serial, ScriptForm form) {
  const auto append_with_key = [&](std::string_view name) {
    append_header(out, '*', 2 + command.integers.size());
    append_bulk(out, name);
    append_bulk(out, command.key);
    for (const std::int64_t integer : command.integers) append_bulk(out, integer);
  };
  switch (command.operation) {
    case Operation::kGet: return append_with_key("GET");
    case Operation::kIncrBy: return append_with_key("INCRBY");
    case Operation::kExpire: return append_with_key("EXPIRE");
    case Operation::kUnlink: return append_with_key("UNLINK");
    case Operation::kScript: return append_script(out, command, serial, form);
    case Operation::kPing: return append_words(out, {"PING"});
    case Operation::kAsking: return append_words(out, {"ASKING"});
    case Operation::kClusterShards: return append_words(out, {"CLUSTER", "SHARDS"});
    case Operation::kClusterSlots: return append_words(out, {"CLUSTER", "SLOTS"});
    case Operation::kScan:
      append_header(out, '*', 6);
      append_bulk(out, "SCAN");
      append_bulk(out, Decimal{static_cast<std::uint64_t>(command.integers[0])}.view());
      append_bulk(out, "MATCH");
      append_bulk(out, command.key);
      append_bulk(out, "COUNT");
      append_bulk(out, command.integers[1]);
      return;
  }
}

template <class Out>
void append_batch(Out& out, const CommandBatch& batch, Serial serial, ScriptForm form) {
  bool is_asked = false;
  for (std::size_t i = 0; i < batch.size(); ++i) {
    const Command command = batch[i];
    // With its source: ASKING does not count for a script that is sent again after NOSCRIPT.
    append_command(out, command, serial_of(serial, i), is_asked ? ScriptForm::kEval : form);
    is_asked = command.operation == Operation::kAsking;
  }
}

}  // namespace

void append_resp(std::string& out, const Command& command, Serial serial, ScriptForm form) {
  append_command(out, command, serial, form);
}

void append_resp(std::string& out, const CommandBatch& batch, Serial serial, ScriptForm form) {
  append_batch(out, batch, serial, form);
}

void append_resp(RespBuffer& out, const CommandBatch& batch, Serial serial, ScriptForm form) {
  append_batch(out, batch, serial, form);
}

void append_auth(std::string& out, const Credentials& credentials) {
  if (credentials.username.empty()) return append_words(out, {"AUTH", credentials.password});
  append_words(out, {"AUTH", credentials.username, credentials.password});
}

void append_resp(std::string& out, std::initializer_list<std::string_view> words) { append_words(out, words); }

}  // namespace tollgate::inline v0
