/// A Lua script that Redis runs atomically.
/// The Lua is called with one more argument, a serial number, and answers with one string: its numbers and that serial
/// number, separated by spaces. The client compares the serial number, to detect the reply to another call, and removes
/// it: callers get an integer, or an array of integers when there are several. Called without a key, the Lua does
/// nothing and answers `-1 <serial>`.
/// Scripts are constants. Thread safety: they may be used from all threads, until the program ends.
#pragma once

#include <string_view>

namespace tollgate::inline v0 {

struct Script {
  std::string_view name;    ///< the name of its file, without `.lua`
  std::string_view source;  ///< the Lua text, byte for byte
  std::string_view sha1;    ///< 40 lower-case hex digits of `source`, as EVALSHA takes them
};

}  // namespace tollgate::inline v0
