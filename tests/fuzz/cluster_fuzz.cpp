// What a hostile node of a Cluster may send: slot maps and redirections. Whatever is read, every slot and port is in
// range, and a batch never executes a command twice, whatever the nodes answer.
#include <fmt/format.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "clients/redirection.hpp"
#include "clients/routed_batch.hpp"
#include "clients/slot_map.hpp"
#include "fuzz/fuzz.hpp"
#include "transport/reply_parser.hpp"
#include "values/hash_slot.hpp"
#include "values/limits.hpp"

namespace tollgate {
namespace {

using fuzz::Input;
using fuzz::require;

void check(const std::optional<SlotMap>& map) {
  if (!map) return;
  require(map->ranges.size() <= kMaxRanges, "the number of ranges is bounded");
  for (const SlotMap::Range& range : map->ranges) {
    require(range.first <= range.last && range.last < kHashSlots, "slots are in range");
    require(range.primary.port > 0, "ports are in range");
    require(range.primary.host.size() <= kMaxHostBytes, "hosts are no longer than a name can be");
    require(range.primary.host != "?", "a host that is not reported is the host that was asked");
  }
}

void check_slot_maps(std::string_view bytes) {
  ReplyParser parser;
  std::vector<Reply> replies;
  static_cast<void>(parser.feed(bytes, replies));
  for (const Reply& reply : replies) {
    for (const bool is_encrypted : {false, true}) {
      check(read_cluster_shards(reply, {"asked", is_encrypted}));
      check(read_cluster_slots(reply, {"asked", is_encrypted}));
    }
  }
}

void check_redirection(std::string_view text) {
  const Redirection redirection = redirection_in(text);
  if (redirection.kind != Redirection::Kind::kMoved && redirection.kind != Redirection::Kind::kAsk) return;
  require(redirection.slot < kHashSlots && redirection.port > 0, "slot and port are in range");
  require(redirection.host.size() <= kMaxHostBytes, "hosts are no longer than a name can be");
  const std::string word = redirection.kind == Redirection::Kind::kMoved ? "MOVED" : "ASK";
  const std::string written = fmt::format("{} {} {}:{}", word, redirection.slot, redirection.host, redirection.port);
  const Redirection again = redirection_in(std::string_view{written});
  require(again.kind == redirection.kind && again.slot == redirection.slot && again.host == redirection.host &&
              again.port == redirection.port,
          "what is read can be written and read again");
}

/// Answers a batch until nothing is pending; counts how often each command was executed.
void check_routed_batch(Input& input) {
  CommandBatch batch;
  for (int i = 0; i < 3; ++i) {
    const std::string key = "key" + std::to_string(input.byte() % 2);
    batch.incr_by(key, 1);
    batch.expire(key, std::chrono::seconds{60});
  }
  RoutedBatch routed{batch};
  std::vector<int> executed(batch.size(), 0);
  std::vector<int> last_charge_before(batch.size(), -1);
  int step = 0;
  for (int round = 0; round < 12 && !routed.pending().empty(); ++round) {
    for (const RoutedBatch::Pending& pending : std::vector<RoutedBatch::Pending>{routed.pending()}) {
      ++step;
      switch (input.byte() % 6) {
        case 0: routed.answer(pending.command, Reply::error("MOVED 1 :7000"), "host"); break;
        case 1: routed.answer(pending.command, Reply::error("ASK 1 b:7000"), "host"); break;
        case 2: routed.answer(pending.command, Reply::error("TRYAGAIN later"), "host"); break;
        case 3: routed.fail(pending.command, {Errc::kConnectionLost, true}); break;
        default:
          routed.answer(pending.command, Reply::integer(1), "host");
          ++executed[pending.command];
          last_charge_before[pending.command] = step;
      }
    }
    routed.next();
  }
  const BatchResult result = routed.finish({Errc::kLoading});
  require(!result.ok() || result.replies.size() == batch.size(), "there is one reply per command");
  for (std::size_t i = 0; i < batch.size(); i += 2) {
    require(executed[i] <= 1, "no charge is executed twice");
    const bool both_answered = result.ok() && executed[i] == 1 && !ReplyRange{result, i, 2}.failure().code &&
                               !result.replies[i + 1].is_error();
    require(!both_answered || last_charge_before[i + 1] > last_charge_before[i],
            "the expiry of a charge is executed after it");
  }
}

}  // namespace
}  // namespace tollgate

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tollgate::fuzz::Input input{data, size};
  switch (input.byte() % 3) {
    case 0: tollgate::check_slot_maps(input.rest()); break;
    case 1: tollgate::check_redirection(input.rest()); break;
    default: tollgate::check_routed_batch(input);
  }
  return 0;
}
