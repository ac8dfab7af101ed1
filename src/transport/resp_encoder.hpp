/// Typed commands as RESP2 bytes. Pure; the only place that writes the protocol.
/// Thread safety: functions without state.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "tollgate/detail/inline_text.hpp"
#include "tollgate/values/command_batch.hpp"
#include "transport/expected_reply.hpp"

namespace tollgate::inline v0 {

/// How a script is named: by its SHA-1, which Redis may answer with NOSCRIPT, or by its whole source, which it never
/// does.
enum class ScriptForm : std::uint8_t { kEvalSha, kEval };

/// A batch as RESP on the caller's stack: an ordinary one takes no heap memory, and no thread-local buffer is needed,
/// which would be gone before the last user of a thread.
using RespBuffer = detail::InlineText<4096>;

/// Appends `command` to `out`; a script is given `serial` as its last argument.
void append_resp(std::string& out, const Command& command, Serial serial, ScriptForm form = ScriptForm::kEvalSha);

/// Appends every command of `batch` to `out`, signed with serial_of(serial, its place).
void append_resp(std::string& out, const CommandBatch& batch, Serial serial, ScriptForm form = ScriptForm::kEvalSha);
void append_resp(RespBuffer& out, const CommandBatch& batch, Serial serial, ScriptForm form = ScriptForm::kEvalSha);

/// Appends a command of plain words, for the handshake of a connection.
void append_resp(std::string& out, std::initializer_list<std::string_view> words);

}  // namespace tollgate::inline v0
