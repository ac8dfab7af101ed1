#include "decisions/reset_scan.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

#include "decisions/window.hpp"

namespace tollgate::inline v0::decisions {

ResetScan::ResetScan(std::string key_prefix, std::string user_id, std::int64_t minute)
    : key_prefix_(std::move(key_prefix)),
      user_id_(std::move(user_id)),
      pattern_(counters_pattern(key_prefix_, user_id_)) {
  for (const std::int64_t near : {minute, minute - 1, minute + 1}) {
    found_.emplace_back(Key::counter(key_prefix_, user_id_, near).view());
  }
}

CommandBatch ResetScan::next_batch() {
  CommandBatch batch;
  unlinking_ = std::min(found_.size(), kUnlinksPerBatch);
  for (std::size_t i = 0; i < unlinking_; ++i) batch.unlink(found_[found_.size() - 1 - i]);
  if (!scanned_) batch.scan(cursor_, pattern_, kPageSize);
  return batch;
}

Failure ResetScan::read(const BatchResult& result) {
  if (!result.ok()) return result.failure;
  for (std::size_t i = 0; i < result.replies.size(); ++i) {
    if (result.replies[i].is_error()) return failure_from_error_reply(result.replies[i].text());
  }
  if (result.replies.size() != unlinking_ + (scanned_ ? 0 : 1)) return {Errc::kProtocol, false, "too few replies"};
  found_.resize(found_.size() - unlinking_);
  if (scanned_) return {};

  const std::vector<Reply>& page = result.replies[unlinking_].elements();
  if (page.size() != 2 || page[1].kind() != Reply::Kind::kArray) {
    return {Errc::kProtocol, false, "SCAN did not answer with a cursor and keys"};
  }
  const std::string& text = page[0].text();
  std::uint64_t cursor = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), cursor);
  if (error != std::errc{} || end != text.data() + text.size()) {
    return {Errc::kProtocol, false, "SCAN answered with a cursor that is no number"};
  }
  cursor_ = cursor;
  for (const Reply& key : page[1].elements()) {
    if (is_counter_of(key.text(), key_prefix_, user_id_)) found_.push_back(key.text());
  }
  scanned_ = cursor_ == 0;
  return {};
}

}  // namespace tollgate::inline v0::decisions
