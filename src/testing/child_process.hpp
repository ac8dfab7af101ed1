/// Starts a child that dies with this process. Thread safety: from all threads.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace tollgate::inline v0::testing {

/// Executes `arguments[0]` (a path) in `directory` with nothing on its standard input, both outputs appended to the
/// file `log`, no other descriptor of ours, and all signals unblocked. The child gets SIGKILL when this process ends;
/// the thread that called may end before. One that cannot be executed exits with 127, and `log` says why.
/// Throws std::runtime_error when no process can be made.
[[nodiscard]] pid_t start_child(const std::vector<std::string>& arguments, const std::string& directory,
                                const std::string& log);

}  // namespace tollgate::inline v0::testing
