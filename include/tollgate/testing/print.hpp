/// How GoogleTest shows commands, batches and replies when an expectation fails: `INCRBY "prefix:user:1" 5`.
/// Thread safety: plain functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <ostream>
#include <string_view>

#include "tollgate/values/command_batch.hpp"
#include "tollgate/values/reply.hpp"

namespace tollgate::inline v0 {

namespace testing {

/// `text` in quotes, with unprintable bytes as a backslash, x and two hex digits.
inline void print_quoted(std::string_view text, std::ostream* out) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  *out << '"';
  for (const char character : text) {
    if (character >= ' ' && character <= '~' && character != '"' && character != '\\') {
      *out << character;
    } else {
      const auto byte = static_cast<unsigned char>(character);
      *out << "\\x" << kDigits[byte >> 4U] << kDigits[byte & 15U];
    }
  }
  *out << '"';
}

template <class Sequence>
void print_sequence(const Sequence& elements, std::ostream* out) {
  *out << '[';
  for (std::size_t i = 0; i < elements.size(); ++i) {
    if (i > 0) *out << ", ";
    PrintTo(elements[i], out);
  }
  *out << ']';
}

}  // namespace testing

inline void PrintTo(Operation operation, std::ostream* out) { *out << name_of(operation); }

inline void PrintTo(const Command& command, std::ostream* out) {
  PrintTo(command.operation, out);
  if (command.keys.empty() && command.script == nullptr) return;
  if (command.script != nullptr) *out << ' ' << command.script->name;
  for (std::size_t i = 0; i < command.keys.size(); ++i) {
    *out << ' ';
    testing::print_quoted(command.keys[i], out);
  }
  for (const std::int64_t number : command.integers) *out << ' ' << number;
}

inline void PrintTo(const CommandBatch& batch, std::ostream* out) { testing::print_sequence(batch, out); }

inline void PrintTo(const Reply& reply, std::ostream* out) {
  switch (reply.kind()) {
    case Reply::Kind::kNil: *out << "nil"; return;
    case Reply::Kind::kInteger: *out << reply.to_integer().value_or(0); return;
    case Reply::Kind::kString: testing::print_quoted(reply.text(), out); return;
    case Reply::Kind::kStatus: *out << '+' << reply.text(); return;
    case Reply::Kind::kError: *out << '-' << reply.text(); return;
    case Reply::Kind::kArray: testing::print_sequence(reply.elements(), out); return;
  }
}

inline void PrintTo(const BatchResult& result, std::ostream* out) {
  if (result.ok()) return testing::print_sequence(result.replies, out);
  *out << "failure: " << result.failure.code.message();
  if (result.failure.may_have_executed) *out << " (may have been executed)";
}

}  // namespace tollgate::inline v0
