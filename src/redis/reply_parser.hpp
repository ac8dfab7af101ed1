/// RESP2 bytes to Reply values, by hiredis's reader with our own builders: an integer reply allocates nothing.
/// Thread safety: one thread at a time.
#pragma once

#include <hiredis/hiredis.h>

#include <string_view>
#include <vector>

#include "tollgate/redis/reply.hpp"

namespace tollgate::inline v0 {

class ReplyParser {
 public:
  /// Takes over the builders of `reader`, which must outlive the parser.
  explicit ReplyParser(redisReader& reader);
  ReplyParser(const ReplyParser&) = delete;
  ReplyParser& operator=(const ReplyParser&) = delete;

  /// Appends to `out` the replies that `bytes` complete. False when the bytes are no RESP2; then the parser is done
  /// for.
  [[nodiscard]] bool feed(std::string_view bytes, std::vector<Reply>& out);

 private:
  redisReader& reader_;
  Reply root_;  // the reply being built: the builders point into it
};

}  // namespace tollgate::inline v0
