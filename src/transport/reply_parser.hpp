/// Parses RESP2 bytes to Reply values, by hiredis's reader with our own builders, so that an integer allocates nothing.
/// Thread safety: one thread at a time.
#pragma once

#include <hiredis/hiredis.h>

#include <cstddef>
#include <memory>
#include <string_view>
#include <vector>

#include "tollgate/values/reply.hpp"

namespace tollgate::inline v0 {

class ReplyParser {
 public:
  /// Throws std::bad_alloc.
  ReplyParser();
  ReplyParser(const ReplyParser&) = delete;
  ReplyParser& operator=(const ReplyParser&) = delete;

  /// Appends the replies that `bytes` complete to `out`. False when the bytes are not RESP2, when a reply is larger
  /// than any that tollgate requests (a string of 1 MiB, 4 MiB in all), or when memory is short; then, and when
  /// std::bad_alloc is thrown, the parser must not be used any more.
  [[nodiscard]] bool feed(std::string_view bytes, std::vector<Reply>& out);

  /// The number of bytes that are buffered for a reply that is not complete.
  [[nodiscard]] std::size_t unread() const noexcept { return reader_->len - reader_->pos; }

  /// The state that the builders write to.
  struct Building {
    Reply root;
    bool is_out_of_memory = false;
  };

 private:
  [[nodiscard]] bool refused() const;

  struct FreeReader {
    void operator()(redisReader* reader) const noexcept { redisReaderFree(reader); }
  };

  std::unique_ptr<redisReader, FreeReader> reader_;
  std::size_t unfinished_ = 0;  // bytes since the last complete reply
  Building building_;           // the builders point into it
};

}  // namespace tollgate::inline v0
