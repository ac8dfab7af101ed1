/// A Lua script that Redis runs as one step, and its C++ twin that does the same to an in-memory keyspace.
/// The Lua is called with one argument more, a serial number, and answers with one string: its numbers, then that
/// argument, with one space between. So the client knows that an answer is not another call's, and strips the serial
/// number: what callers see, and the twin returns, is an integer, or an array of integers when the numbers are several.
/// Scripts are constants: they live as long as the program and may be used from every thread.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "tollgate/values/reply.hpp"

namespace tollgate::inline v0 {

class Keyspace;

/// What a script is called with.
struct ScriptArguments {
  std::string_view key;                    ///< KEYS[1]
  std::string_view second_key;             ///< KEYS[2]; empty = the script takes one key
  std::span<const std::int64_t> integers;  ///< ARGV, in order, as decimals, without the serial number
};

struct Script {
  std::string_view name;    ///< of its file, without `.lua`
  std::string_view source;  ///< the Lua text, byte for byte
  std::string_view sha1;    ///< 40 lower-case hex digits of `source`, as EVALSHA wants them
  Reply (*twin)(Keyspace&, const ScriptArguments&);
};

}  // namespace tollgate::inline v0
