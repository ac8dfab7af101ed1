/// Encodes typed commands as RESP2 bytes. Pure.
/// Thread safety: functions without state.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "tollgate/client_options.hpp"
#include "tollgate/detail/inline_array.hpp"
#include "tollgate/values/command_batch.hpp"
#include "transport/expected_reply.hpp"

namespace tollgate::inline v0 {

/// How a script is sent: as its SHA-1, to which Redis may answer NOSCRIPT, or as its source, to which it never does.
enum class ScriptForm : std::uint8_t { kEvalSha, kEval };

/// A buffer for a batch as RESP on the caller's stack: a typical batch needs no heap memory, and no thread-local
/// buffer, which would be destroyed before other thread-local objects that may use a limiter.
class RespBuffer {
 public:
  void append(std::string_view text) { bytes_.append({text.data(), text.size()}); }
  /// Appends what `write` stores from the char* on that it is given: at most `most` bytes, whose end it returns.
  template <class Write>
  void append_with(std::size_t most, const Write& write) {
    bytes_.append_with(most, write);
  }
  [[nodiscard]] std::string_view view() const noexcept { return {bytes_.data(), bytes_.size()}; }

 private:
  detail::InlineArray<char, 4096> bytes_;
};

/// Appends `command` to `out`; a script is given `serial` as its last argument.
void append_resp(std::string& out, const Command& command, Serial serial, ScriptForm form = ScriptForm::kEvalSha);

/// Appends every command of `batch` to `out`, with the serial number serial_of(serial, its index).
void append_resp(std::string& out, const CommandBatch& batch, Serial serial, ScriptForm form = ScriptForm::kEvalSha);
void append_resp(RespBuffer& out, const CommandBatch& batch, Serial serial, ScriptForm form = ScriptForm::kEvalSha);

/// Appends AUTH, with or without a user.
void append_auth(std::string& out, const Credentials& credentials);

/// Appends a command of plain words, for the handshake of a connection.
void append_resp(std::string& out, std::initializer_list<std::string_view> words);

}  // namespace tollgate::inline v0
