/// A Lua script that Redis runs as one step.
/// The Lua is called with one argument more, a serial number, and answers with one string: its numbers, then that
/// argument, with one space between. So the client knows that an answer is not another call's, and strips the serial
/// number: what callers see is an integer, or an array of integers when the numbers are several. Called without a key,
/// the Lua does nothing and answers `-1 <serial>`.
/// Scripts are constants: they live as long as the program and may be used from every thread.
#pragma once

#include <string_view>

namespace tollgate::inline v0 {

struct Script {
  std::string_view name;    ///< of its file, without `.lua`
  std::string_view source;  ///< the Lua text, byte for byte
  std::string_view sha1;    ///< 40 lower-case hex digits of `source`, as EVALSHA wants them
};

}  // namespace tollgate::inline v0
