#include "clients/routed_batch.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "clients/redirection.hpp"
#include "clients/slot_map.hpp"
#include "values/failures.hpp"

namespace tollgate::inline v0 {

RoutedBatch::RoutedBatch(const CommandBatch& batch)
    : batch_(batch), states_(batch.size(), State::kPending), replies_(batch.size()) {
  for (std::size_t i = 0; i < batch.size(); ++i) pending_.push_back({i, {}});
}

void RoutedBatch::answer(std::size_t command, Reply reply, std::string_view host) {
  const Redirection redirection = redirection_in(reply);
  Route route;
  switch (redirection.kind) {
    case Redirection::Kind::kNone:
      states_[command] = State::kAnswered;
      replies_[command] = std::move(reply);
      return;
    case Redirection::Kind::kMoved:
    case Redirection::Kind::kAsk:
      route.node = HostAndPort{std::string{host_or(redirection.host, host)}, redirection.port};
      route.is_asked = redirection.kind == Redirection::Kind::kAsk;
      break;
    case Redirection::Kind::kWait: next_pauses_ = true; break;
  }
  replies_[command] = std::move(reply);
  next_.push_back({command, std::move(route)});
}

void RoutedBatch::fail(std::size_t command, const Failure& failure) {
  states_[command] = State::kFailed;
  failures_.push_back({command, failure});
}

bool RoutedBatch::is_expiry_of(std::size_t expire, std::size_t command) const {
  return expire < batch_.size() && batch_[command].operation == Operation::kIncrBy &&
         batch_[expire].operation == Operation::kExpire && batch_[expire].key == batch_[command].key;
}

bool RoutedBatch::next() {
  const auto by_command = [](const Pending& a, const Pending& b) { return a.command < b.command; };
  std::sort(next_.begin(), next_.end(), by_command);
  pending_.clear();
  for (Pending& each : next_) {
    const bool is_behind = !pending_.empty() && each.command == pending_.back().command + 1;
    if (is_behind && is_expiry_of(each.command, pending_.back().command)) each.route = pending_.back().route;
    pending_.push_back(each);
    const std::size_t behind = each.command + 1;
    if (!is_expiry_of(behind, each.command) || states_[behind] == State::kPending) continue;
    std::erase_if(failures_, [behind](const CommandFailure& failed) { return failed.command == behind; });
    states_[behind] = State::kPending;
    replies_[behind] = replies_[each.command];
    pending_.push_back({behind, each.route});
  }
  next_.clear();
  must_pause_ = std::exchange(next_pauses_, false) || ++redirections_ > kMostRedirections;
  return !pending_.empty();
}

BatchResult RoutedBatch::finish(const Failure& given_up) {
  for (const Pending& each : pending_) {
    const Redirection redirection = redirection_in(replies_[each.command]);
    if (redirection.kind != Redirection::Kind::kWait) {
      fail(each.command, given_up);
      replies_[each.command] = {};
    }
  }
  pending_.clear();
  BatchResult result;
  if (!failures_.empty() && failures_.size() == batch_.size()) {
    const auto in_doubt = [](const CommandFailure& failed) { return failed.failure.may_have_executed; };
    const bool all = std::all_of(failures_.begin(), failures_.end(), in_doubt);
    if (all || std::none_of(failures_.begin(), failures_.end(), in_doubt)) {
      result.failure = std::move(failures_.front().failure);
      return result;
    }
  }
  for (CommandFailure& failed : failures_) replies_[failed.command] = {};
  for (Reply& reply : replies_) result.replies.push_back(std::move(reply));
  std::sort(failures_.begin(), failures_.end(),
            [](const CommandFailure& a, const CommandFailure& b) { return a.command < b.command; });
  result.failed_commands = std::move(failures_);
  return result;
}

CommandBatch RoutedBatch::lost_expiries() const {
  CommandBatch expiries;
  for (std::size_t i = 1; i < batch_.size(); ++i) {
    const bool is_lost = states_[i] != State::kAnswered && states_[i - 1] == State::kAnswered &&
                         is_expiry_of(i, i - 1) && !replies_[i - 1].is_error();
    if (is_lost) expiries.append(batch_[i]);
  }
  return expiries;
}

}  // namespace tollgate::inline v0
