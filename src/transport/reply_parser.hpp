/// RESP2 bytes to Reply values, by hiredis's reader with our own builders: an integer reply allocates nothing.
/// Thread safety: one thread at a time.
#pragma once

#include <hiredis/hiredis.h>

#include <cstddef>
#include <string_view>
#include <vector>

#include "tollgate/values/reply.hpp"

namespace tollgate::inline v0 {

class ReplyParser {
 public:
  /// Takes over the builders of `reader`, which must outlive the parser.
  explicit ReplyParser(redisReader& reader);
  ReplyParser(const ReplyParser&) = delete;
  ReplyParser& operator=(const ReplyParser&) = delete;

  /// Appends to `out` the replies that `bytes` complete. False when the bytes are no RESP2, or when they begin a
  /// reply that is larger than any that tollgate asks for (a string of 1 MiB, 4 MiB in all); then the parser is done
  /// for.
  [[nodiscard]] bool feed(std::string_view bytes, std::vector<Reply>& out);

 private:
  redisReader& reader_;
  std::size_t unfinished_ = 0;  // bytes since the last complete reply
  Reply root_;                  // the reply being built: the builders point into it
};

}  // namespace tollgate::inline v0
