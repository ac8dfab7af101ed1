/// Typed commands as RESP2 bytes. Pure; the only place that writes the protocol.
/// Thread safety: functions without state.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "tollgate/values/command_batch.hpp"
#include "transport/expected_reply.hpp"

namespace tollgate::inline v0 {

/// How a script is named: by its SHA-1, or, once Redis has answered NOSCRIPT, by its whole text.
enum class ScriptForm : std::uint8_t { kEvalSha, kEval };

/// Appends `command` to `out`; a script is given `serial` as its last argument.
void append_resp(std::string& out, const Command& command, Serial serial, ScriptForm form = ScriptForm::kEvalSha);

/// Appends every command of `batch` to `out`, signed with serial_of(serial, its place).
void append_resp(std::string& out, const CommandBatch& batch, Serial serial);

/// Appends a command of plain words, for the greeting of a connection.
void append_resp(std::string& out, std::initializer_list<std::string_view> words);

}  // namespace tollgate::inline v0
