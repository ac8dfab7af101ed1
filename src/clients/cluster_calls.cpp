// Cluster's calls.
#include <algorithm>
#include <new>
#include <system_error>
#include <thread>
#include <utility>

#include "clients/asking.hpp"
#include "clients/cluster.hpp"
#include "clients/redirection.hpp"
#include "values/background_thread.hpp"
#include "values/failures.hpp"

namespace tollgate::inline v0 {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kFirstPause{5};
constexpr std::chrono::milliseconds kLongestPause{80};

// A cursor of ours: the number of a node above the cursor of that node's SCAN, whose upper bits Redis leaves 0.
constexpr unsigned kCursorBits = 54;
constexpr std::uint64_t kCursorMask = (std::uint64_t{1} << kCursorBits) - 1;
static_assert(ClusterNodes::kMaxNodes <= std::size_t{1} << (64 - kCursorBits));

}  // namespace

/// The commands of a round that go to one node.
struct Cluster::Part {
  Member* member;
  CommandBatch batch = {};
  bool is_asked = false;                   ///< the batch holds an ASKING before each command, and no other commands
  std::vector<std::size_t> commands = {};  ///< their indices in the whole batch
  BatchResult result = {};
};

BatchResult Cluster::execute(const CommandBatch& batch, RedisClient::Deadline deadline,
                             const std::shared_ptr<ReplyHandler>& late) {
  const Time until = deadline ? *deadline : SteadyClock::now() + command_timeout_;
  Member* const owner = nodes_.only_owner(batch);
  BatchResult result = owner == nullptr ? execute_by_map(batch, until, late) : owner->node->execute(batch, until, late);
  const bool is_final = owner == nullptr || (result.ok() && !any_redirection(result.replies));
  if (!is_final) result = execute_further(*owner, batch, std::move(result), until, late);
  return result;
}

/// Executes a batch whose commands are on several nodes, or whose node is not known.
BatchResult Cluster::execute_by_map(const CommandBatch& batch, Time until, const std::shared_ptr<ReplyHandler>& late) {
  if (batch.empty()) return {};
  if (Failure unknown = await_map(until); unknown.code) return {{}, std::move(unknown)};
  if (batch[0].operation == Operation::kScan) return scan(batch[0], until);
  if (batch[0].keys.empty()) return ping(batch, until);
  RoutedBatch routed{batch};
  try {
    return carry(batch, routed, until, late);
  } catch (const std::bad_alloc&) {
    return lost(batch, late);
  }
}

/// Continues after `asked` gave a result that is not final.
BatchResult Cluster::execute_further(Member& asked, const CommandBatch& batch, BatchResult result, Time until,
                                     const std::shared_ptr<ReplyHandler>& late) {
  try {
    RoutedBatch routed{batch};
    Part part{.member = &asked, .result = std::move(result)};
    for (std::size_t i = 0; i < batch.size(); ++i) part.commands.push_back(i);
    take_result(batch, routed, part, until);
    routed.next();
    return carry(batch, routed, until, late);
  } catch (const std::bad_alloc&) {
    return lost(batch, late);
  }
}

/// The result when memory is short after commands have been executed.
BatchResult Cluster::lost(const CommandBatch& batch, const std::shared_ptr<ReplyHandler>& late) noexcept {
  BatchResult in_doubt{{}, detail::failure(Errc::kOverloaded, true, "out of memory")};
  if (late) late->handle(client_, batch, in_doubt);
  return in_doubt;
}

BatchResult Cluster::carry(const CommandBatch& batch, RoutedBatch& routed, Time until,
                           const std::shared_ptr<ReplyHandler>& late) {
  auto pause = std::min<SteadyClock::duration>(kFirstPause, command_timeout_ / 8);
  while (!routed.pending().empty()) {
    const Time now = SteadyClock::now();
    if (now >= until) break;
    if (routed.must_pause()) {
      request_refresh();
      std::this_thread::sleep_until(std::min(until, now + pause));
      pause = std::min<SteadyClock::duration>(2 * pause, kLongestPause);
      if (SteadyClock::now() >= until) break;
    }
    std::vector<Part> parts = divide(batch, routed);
    execute_all(parts, until, late);
    for (Part& part : parts) take_result(batch, routed, part, until);
    routed.next();
  }
  if (CommandBatch expiries = routed.lost_expiries(); !expiries.empty()) post(std::move(expiries), nullptr);
  return routed.finish({Errc::kLoading, false,
                        "no node of the Cluster served the hash slot, or it moved again and again, until the "
                        "deadline"});
}

/// The pending commands by their nodes. Those whose node is not known stay pending.
std::vector<Cluster::Part> Cluster::divide(const CommandBatch& batch, RoutedBatch& routed) {
  std::vector<Part> parts;
  for (const RoutedBatch::Pending& pending : routed.pending()) {
    const Command command = batch[pending.command];
    Member* const member =
        pending.route.node ? nodes_.find_or_make(*pending.route.node) : nodes_.owner(hash_slot(command.key));
    if (member == nullptr) {
      routed.keep(pending.command);
      continue;
    }
    const bool is_asked = pending.route.is_asked;
    auto part = std::find_if(parts.begin(), parts.end(), [member, is_asked](const Part& each) {
      return each.member == member && each.is_asked == is_asked;
    });
    if (part == parts.end()) part = parts.insert(parts.end(), Part{.member = member, .is_asked = is_asked});
    if (is_asked) part->batch.asking();
    part->batch.append(command);
    part->commands.push_back(pending.command);
  }
  return parts;
}

/// Asks all nodes at the same time: the first on this thread, each other on one of its own, because a call blocks its
/// thread. Where a thread cannot be started, this one asks one node after another.
void Cluster::execute_all(std::vector<Part>& parts, Time until, const std::shared_ptr<ReplyHandler>& late) {
  const auto execute_part = [until, &late](Part& part) noexcept {
    try {
      std::shared_ptr<ReplyHandler> its_late = late;
      if (part.is_asked && late) its_late = std::make_shared<WithoutAsking>(late);
      part.result = part.member->node->execute(part.batch, until, its_late);
      if (part.is_asked) part.result = without_asking(std::move(part.result));
    } catch (const std::bad_alloc&) {
      part.result = {{}, detail::failure(Errc::kOverloaded, false, "out of memory")};
    }
  };
  std::vector<std::thread> threads;
  threads.reserve(parts.size());
  std::vector<Part*> here;
  here.reserve(parts.size());
  for (Part& part : parts) {
    if (&part == &parts.front()) {
      here.push_back(&part);
      continue;
    }
    try {
      threads.push_back(detail::start_background_thread([&execute_part, &part] { execute_part(part); }));
    } catch (const std::exception&) {
      here.push_back(&part);
    }
  }
  for (Part* part : here) execute_part(*part);
  for (std::thread& thread : threads) thread.join();
}

/// Waits until the map names another node than the one that `part` was sent to, which it may do already: another call
/// may have refreshed it since. The second refresh is needed where the first had begun before the slots moved. Where
/// maps stay the same, the next refresh is not due so soon.
bool Cluster::await_new_map(const Part& part, const CommandBatch& batch, Time until) {
  const auto has_moved = [&](std::size_t command) {
    return nodes_.owner(hash_slot(batch[command].key)) != part.member;
  };
  for (int refreshes = 0;; ++refreshes) {
    if (std::any_of(part.commands.begin(), part.commands.end(), has_moved)) return true;
    if (refreshes == 2 || !await_refresh(until, SlotMapRefresh::kShortestInterval)) return false;
  }
}

/// Passes what a node answered to `routed`. A command that certainly was not executed is sent again where the map has
/// changed.
void Cluster::take_result(const CommandBatch& batch, RoutedBatch& routed, Part& part, Time until) {
  const Failure& failure = part.result.failure;
  if (failure.code) {
    request_refresh();
    const bool may_be_stale = failure.code == Errc::kConnectFailed || failure.code == Errc::kConnectionLost;
    const bool is_new = !failure.may_have_executed && may_be_stale && await_new_map(part, batch, until);
    for (const std::size_t command : part.commands) {
      const Member* const owner = nodes_.owner(hash_slot(batch[command].key));
      is_new&& owner != part.member ? routed.keep(command) : routed.fail(command, failure);
    }
    return;
  }
  if (any_redirection(part.result.replies)) settle_posts(*part.member, until);
  for (std::size_t i = 0; i < part.commands.size(); ++i) {
    Reply reply = i < part.result.replies.size() ? std::move(part.result.replies[i]) : Reply{};
    const Redirection redirection = redirection_in(reply);
    if (redirection.kind == Redirection::Kind::kMoved) {
      const std::string_view host = host_or(redirection.host, part.member->address.host);
      learn_owner(redirection.slot, {std::string{host}, redirection.port}, until);
    } else if (redirection.kind != Redirection::Kind::kNone) {
      request_refresh();
    }
    routed.answer(part.commands[i], std::move(reply), part.member->address.host);
  }
}

/// One page of the keys of all primaries, one primary after the other. A slot that moves meanwhile may be missed.
BatchResult Cluster::scan(const Command& command, Time until) {
  const auto cursor = static_cast<std::uint64_t>(command.integers[0]);
  const std::vector<bool> holds = nodes_.holders();
  const auto next_holder = [&holds](std::size_t number) {
    while (number < holds.size() && !holds[number]) ++number;
    return number;
  };
  const std::size_t asked = cursor >> kCursorBits;
  const std::size_t number = next_holder(asked);
  if (number == holds.size()) {  // the last node has lost its slots since
    BatchResult end;
    end.replies.push_back(Reply::array({Reply::string("0"), Reply::array({})}));
    return end;
  }
  CommandBatch page;
  page.scan(number == asked ? cursor & kCursorMask : 0, command.key, command.integers[1]);
  BatchResult result = nodes_[number].node->execute(page, until, nullptr);
  if (!result.ok() || result.replies.size() != 1 || result.replies[0].elements().size() != 2) return result;

  Reply& its_cursor = result.replies[0].elements()[0];
  const auto left = its_cursor.to_integer();
  if (!left || static_cast<std::uint64_t>(*left) > kCursorMask) {
    return {{}, {Errc::kProtocol, false, "the cursor that SCAN returned is no number, or uses the upper 10 bits"}};
  }
  std::uint64_t ours = number << kCursorBits | static_cast<std::uint64_t>(*left);
  if (*left == 0) {
    const std::size_t next = next_holder(number + 1);
    ours = next == holds.size() ? 0 : next << kCursorBits;
  }
  its_cursor = Reply::string(std::to_string(ours));
  return result;
}

/// Answered by the first node that answers: a Cluster serves the users of its other shards while one fails.
BatchResult Cluster::ping(const CommandBatch& batch, Time until) {
  BatchResult result;
  const std::vector<bool> holds = nodes_.holders();
  for (std::size_t i = 0; i < holds.size(); ++i) {
    if (!holds[i]) continue;
    result = nodes_[i].node->execute(batch, until, nullptr);
    if (result.ok() && !result.replies[0].is_error()) return result;
    request_refresh();
  }
  return result;
}

/// Empty when the map is known. Fails at once when the last attempt to learn it failed a moment ago.
Failure Cluster::await_map(Time until) {
  while (!refresh_.has_map()) {
    const bool is_due = refresh_.is_due(SteadyClock::now());
    if (await_refresh(until)) continue;
    if (!is_due) return refresh_.failure();
    return {Errc::kTimeout, false, "while asking the nodes of the Cluster for its slot map"};
  }
  return {};
}

}  // namespace tollgate::inline v0
