// The reply parser: any bytes, in any pieces, give the same replies or the same refusal; a well-formed reply is read as
// what it is.
#include <memory>
#include <string>
#include <vector>

#include "fuzz/fuzz.hpp"
#include "transport/reply_parser.hpp"

namespace tollgate::fuzz {
namespace {

struct Parsed {
  std::vector<Reply> replies;
  bool is_resp = true;
};

/// Feeds `bytes` in pieces of `piece` bytes.
Parsed parse(std::string_view bytes, std::size_t piece) {
  ReplyParser parser;
  Parsed parsed;
  while (!bytes.empty() && parsed.is_resp) {
    const std::string_view head = bytes.substr(0, piece);
    bytes.remove_prefix(head.size());
    parsed.is_resp = parser.feed(head, parsed.replies);
  }
  return parsed;
}

/// A line of RESP holds neither CR nor LF.
std::string as_line(std::string text) {
  std::erase_if(text, [](char character) { return character == '\r' || character == '\n'; });
  return text;
}

Reply make_reply(Input& input, int depth) {
  switch (input.byte() % (depth > 0 ? 6 : 5)) {
    case 0: return Reply{};
    case 1: return Reply::integer(input.integer());
    case 2: return Reply::string(input.text());
    case 3: return Reply::status(as_line(input.text()));
    case 4: return Reply::error(as_line(input.text()));
    default: break;
  }
  std::vector<Reply> elements;
  for (std::size_t count = input.byte() % 8; count > 0; --count) elements.push_back(make_reply(input, depth - 1));
  return Reply::array(std::move(elements));
}

void write(std::string& out, const Reply& reply, bool nil_array) {
  const std::string& text = reply.text();
  switch (reply.kind()) {
    case Reply::Kind::kNil: out += nil_array ? "*-1\r\n" : "$-1\r\n"; return;
    case Reply::Kind::kInteger: out += ':' + std::to_string(reply.to_integer().value_or(0)) + "\r\n"; return;
    case Reply::Kind::kString: out += '$' + std::to_string(text.size()) + "\r\n" + text + "\r\n"; return;
    case Reply::Kind::kStatus: out += '+' + text + "\r\n"; return;
    case Reply::Kind::kError: out += '-' + text + "\r\n"; return;
    case Reply::Kind::kArray: break;
  }
  out += '*' + std::to_string(reply.elements().size()) + "\r\n";
  for (const Reply& element : reply.elements()) write(out, element, nil_array);
}

/// The larger of the lengths that an array in `bytes` may announce: that much is allocated, so it is kept small
/// here.
bool announces_large_array(std::string_view bytes) {
  for (std::size_t i = bytes.find_first_of("*%~>|"); i < bytes.size(); i = bytes.find_first_of("*%~>|", i + 1)) {
    if (bytes.substr(i + 1).find_first_not_of("0123456789+-") > 5) return true;
  }
  return false;
}

void run(const std::uint8_t* data, std::size_t size) {
  const std::string_view raw{reinterpret_cast<const char*>(data), size};
  if (!announces_large_array(raw)) {
    const Parsed whole = parse(raw, raw.size());
    const Parsed bytewise = parse(raw, 1);
    require(whole.is_resp == bytewise.is_resp, "bytes are RESP or not, however they come in");
    require(whole.replies == bytewise.replies, "the replies are the same, however the bytes come in");
  }

  Input input{data, size};
  const bool nil_array = (input.byte() & 1U) != 0;
  const std::size_t piece = 1U + input.byte();
  std::vector<Reply> replies;
  std::string bytes;
  while (!input.empty()) {
    replies.push_back(make_reply(input, 5));
    write(bytes, replies.back(), nil_array);
  }
  const Parsed parsed = parse(bytes, piece);
  require(parsed.is_resp, "what Redis would write is RESP");
  require(parsed.replies == replies, "what was written is read");
}

}  // namespace
}  // namespace tollgate::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  tollgate::fuzz::run(data, size);
  return 0;
}
