/// Deletes every counter of one user: the current and adjacent windows by key, then, if required, those found by a SCAN
/// over the whole keyspace in pages. Pure: makes batches, reads results.
/// Thread safety: one thread at a time.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tollgate/detail/window_id.hpp"
#include "tollgate/values/command_batch.hpp"
#include "tollgate/values/reply.hpp"

namespace tollgate::inline v0::decisions {

using detail::WindowId;

class ResetScan {
 public:
  /// Keys that Redis visits per page: few enough that a page blocks other clients for well under 1 ms.
  static constexpr std::int64_t kPageSize = 500;
  static constexpr std::size_t kUnlinksPerBatch = 64;

  enum class Reach : std::uint8_t { kCurrentWindows, kEveryWindow };

  ResetScan(std::string key_prefix, std::string user_id, WindowId now, Reach reach = Reach::kEveryWindow);

  [[nodiscard]] bool done() const noexcept { return scanned_ && found_.empty(); }
  /// Deletions or one page of the SCAN, never both, so that deletions are answered even if the server refuses SCAN or a
  /// proxy closes the connection because of it.
  [[nodiscard]] CommandBatch next_batch();

  /// Takes the result of the last batch. After a failure the scan can be continued; the failure of a SCAN says that the
  /// current windows were deleted.
  [[nodiscard]] Failure read(const BatchResult& result);

 private:
  [[nodiscard]] Failure read_page(const Reply& reply);

  std::string key_prefix_;
  std::string user_id_;
  std::string pattern_;
  std::vector<std::string> found_;  // still to be deleted
  std::size_t unlinking_ = 0;       // of those, in the batch made last; 0 = that was a page of the SCAN
  std::uint64_t cursor_ = 0;
  bool scanned_ = false;
};

}  // namespace tollgate::inline v0::decisions
