#include "decisions/reset_scan.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

#include "decisions/keys.hpp"

namespace tollgate::inline v0::decisions {
namespace {

Failure of_scan(Failure failure) {
  failure.detail += failure.detail.empty() ? "" : "; ";
  failure.detail += "the current windows were deleted, older ones may remain: SCAN was not answered";
  return failure;
}

}  // namespace

ResetScan::ResetScan(std::string key_prefix, std::string user_id, WindowId now, Reach reach)
    : key_prefix_(std::move(key_prefix)),
      user_id_(std::move(user_id)),
      pattern_(counters_pattern(key_prefix_, user_id_)),
      scanned_(reach == Reach::kCurrentWindows) {
  for (const std::int64_t near : {now.number, now.number - 1, now.number + 1}) {
    found_.emplace_back(Key::counter(key_prefix_, user_id_, {near}).view());
  }
}

CommandBatch ResetScan::next_batch() {
  CommandBatch batch;
  unlinking_ = std::min(found_.size(), kUnlinksPerBatch);
  for (std::size_t i = 0; i < unlinking_; ++i) batch.unlink(found_[found_.size() - 1 - i]);
  if (unlinking_ == 0) batch.scan(cursor_, pattern_, kPageSize);
  return batch;
}

Failure ResetScan::read(const BatchResult& result) {
  const bool scanning = unlinking_ == 0;
  if (const Failure& failure = ReplyRange{result}.failure(); failure.code) {
    return scanning ? of_scan(failure) : failure;
  }
  for (std::size_t i = 0; i < result.replies.size(); ++i) {
    if (!result.replies[i].is_error()) continue;
    Failure failure = failure_from_error_reply(result.replies[i].text(), scanning ? "SCAN" : "UNLINK");
    return scanning ? of_scan(std::move(failure)) : failure;
  }
  if (const std::size_t expected = scanning ? 1 : unlinking_; result.replies.size() != expected) {
    return {Errc::kProtocol, false, "not one reply per command"};
  }
  if (scanning) return read_page(result.replies[0]);
  found_.resize(found_.size() - unlinking_);
  return {};
}

Failure ResetScan::read_page(const Reply& reply) {
  const std::vector<Reply>& page = reply.elements();
  if (page.size() != 2 || page[1].kind() != Reply::Kind::kArray) {
    return {Errc::kProtocol, false, "the reply to SCAN is not a cursor and keys"};
  }
  const std::string& text = page[0].text();
  std::uint64_t cursor = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), cursor);
  if (error != std::errc{} || end != text.data() + text.size()) {
    return {Errc::kProtocol, false, "the cursor that SCAN returned is not a number"};
  }
  cursor_ = cursor;
  for (const Reply& key : page[1].elements()) {
    if (is_counter_of(key.text(), key_prefix_, user_id_)) found_.push_back(key.text());
  }
  scanned_ = cursor_ == 0;
  return {};
}

}  // namespace tollgate::inline v0::decisions
