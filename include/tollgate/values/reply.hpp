/// Replies of Redis: a Reply to one command, the BatchResult that a client returns for a whole batch, and the
/// ReplyRange of one request in a batch. Plain values. Thread safety: that of any value; distinct objects are
/// independent.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tollgate/detail/export.hpp"
#include "tollgate/detail/inline_vector.hpp"
#include "tollgate/error.hpp"

namespace tollgate::inline v0 {

/// One RESP2 reply. Integers, nil and strings under 16 bytes hold no heap memory.
class TOLLGATE_EXPORT Reply {
 public:
  enum class Kind : std::uint8_t { kNil, kInteger, kString, kStatus, kError, kArray };

  Reply() = default;  ///< nil
  [[nodiscard]] static Reply integer(std::int64_t value) {
    Reply reply{Kind::kInteger};
    reply.integer_ = value;
    return reply;
  }
  [[nodiscard]] static Reply string(std::string text) { return Reply{Kind::kString, std::move(text)}; }
  [[nodiscard]] static Reply status(std::string text) { return Reply{Kind::kStatus, std::move(text)}; }
  [[nodiscard]] static Reply error(std::string text) { return Reply{Kind::kError, std::move(text)}; }
  [[nodiscard]] static Reply array(std::vector<Reply> elements) {
    Reply reply{Kind::kArray};
    reply.elements_ = std::move(elements);
    return reply;
  }

  [[nodiscard]] Kind kind() const noexcept { return kind_; }
  [[nodiscard]] bool is_nil() const noexcept { return kind_ == Kind::kNil; }
  [[nodiscard]] bool is_error() const noexcept { return kind_ == Kind::kError; }

  /// The number in this reply: an integer, or a string that consists of a decimal int64 (as GET returns a counter);
  /// otherwise nothing.
  [[nodiscard]] std::optional<std::int64_t> to_integer() const noexcept;

  /// The bytes of a string, status or error; empty for the other kinds.
  [[nodiscard]] const std::string& text() const noexcept { return text_; }

  /// The elements of an array; empty for the other kinds.
  [[nodiscard]] std::vector<Reply>& elements() noexcept { return elements_; }
  [[nodiscard]] const std::vector<Reply>& elements() const noexcept { return elements_; }

  bool operator==(const Reply&) const = default;

 private:
  explicit Reply(Kind kind) noexcept : kind_(kind) {}
  Reply(Kind kind, std::string text) noexcept : kind_(kind), text_(std::move(text)) {}

  Kind kind_ = Kind::kNil;
  std::int64_t integer_ = 0;
  std::string text_;
  std::vector<Reply> elements_;
};

using Replies = detail::InlineVector<Reply, 2>;

/// The failure of one command of a batch that was divided between servers.
struct CommandFailure {
  std::size_t command = 0;  ///< its index in the batch
  Failure failure;
};

/// One reply per command, in order, or the failure because of which there are none; then `replies` is empty. An error
/// reply is a reply, not a failure: the round trip was made.
struct BatchResult {
  Replies replies;
  Failure failure = {};
  /// The commands without a reply where others have one, because the client divided the batch between servers (a
  /// Cluster); in ascending order. In `replies` each of them is nil.
  std::vector<CommandFailure> failed_commands = {};

  /// False: no command has a reply.
  [[nodiscard]] bool ok() const noexcept { return !failure.code; }
};

/// The replies of a result that belong to one request of the batch. Valid as long as the result.
class ReplyRange {
 public:
  /// All replies, for a batch with one request. Implicit, because most batches have one.
  ReplyRange(const BatchResult& result) noexcept  // NOLINT(google-explicit-constructor)
      : ReplyRange{result, 0, result.replies.size()} {}
  /// `count` replies from index `first`, or fewer where the result has fewer.
  ReplyRange(const BatchResult& result, std::size_t first, std::size_t count) noexcept
      : result_(&result),
        first_(std::min(first, result.replies.size())),
        size_(std::min(count, result.replies.size() - first_)) {}

  /// The first failure of these commands; empty when each has a reply.
  [[nodiscard]] const Failure& failure() const noexcept {
    for (const CommandFailure& failed : result_->failed_commands) {
      if (failed.command >= first_ && failed.command < first_ + size_) return failed.failure;
    }
    return result_->failure;
  }

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] const Reply& operator[](std::size_t index) const { return result_->replies[first_ + index]; }

 private:
  const BatchResult* result_;
  std::size_t first_;
  std::size_t size_;
};

}  // namespace tollgate::inline v0
