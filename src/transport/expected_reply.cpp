#include "transport/expected_reply.hpp"

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "values/parse_integer.hpp"

namespace tollgate::inline v0 {
namespace {

using detail::parse_integer;
using Kind = Reply::Kind;

bool is_zero_or_one(const Reply& reply) {
  return reply.kind() == Kind::kInteger && (reply.to_integer() == 0 || reply.to_integer() == 1);
}

/// `<number> … <serial>`, each after one space.
bool take_signed_answer(Serial serial, Reply& reply) {
  if (reply.kind() != Kind::kString) return false;
  std::string_view text = reply.text();
  const std::size_t last = text.rfind(' ');
  if (last == std::string_view::npos || parse_integer(text.substr(last + 1)) != serial) return false;
  text = text.substr(0, last);
  if (const auto number = parse_integer(text)) {
    reply = Reply::integer(*number);
    return true;
  }
  std::vector<Reply> numbers;
  for (std::size_t start = 0; start <= text.size();) {
    const std::size_t end = std::min(text.find(' ', start), text.size());
    const auto number = parse_integer(text.substr(start, end - start));
    if (!number) return false;
    numbers.push_back(Reply::integer(*number));
    start = end + 1;
  }
  reply = Reply::array(std::move(numbers));
  return true;
}

}  // namespace

bool take_answer(const Command& command, Serial serial, Reply& reply) {
  if (reply.is_error()) {
    // An error that Redis never returns to this command belongs to another command. To accept it could send an INCRBY
    // again, or give back tokens that were not charged: EXPIRE is never refused with OOM.
    if (command.operation != Operation::kScript && reply.text().starts_with("NOSCRIPT")) return false;
    return command.operation != Operation::kExpire || !reply.text().starts_with("OOM");
  }
  switch (command.operation) {
    case Operation::kGet: return reply.kind() == Kind::kString || reply.is_nil();
    case Operation::kIncrBy: return reply.kind() == Kind::kInteger;
    case Operation::kExpire:
    case Operation::kUnlink: return is_zero_or_one(reply);
    case Operation::kScan: return reply.elements().size() == 2;
    case Operation::kScript: return take_signed_answer(serial, reply);
    case Operation::kAsking: return reply.kind() == Kind::kStatus && reply.text() == "OK";
    case Operation::kClusterShards:
    case Operation::kClusterSlots: return reply.kind() == Kind::kArray;
    case Operation::kPing: return reply.kind() == Kind::kStatus && reply.text() == "PONG";
  }
  return false;
}

}  // namespace tollgate::inline v0
