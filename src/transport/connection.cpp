#include "transport/connection.hpp"

#include <array>
#include <new>
#include <string_view>
#include <system_error>
#include <utility>

namespace tollgate::inline v0 {
namespace {

// Reserved once, so that the first exchanges of a connection are sent without an allocation.
constexpr std::size_t kOutgoingRoom = 4096;

// The most bytes read in one call, so that a peer that sends without end cannot keep the call from returning.
constexpr int kMaxReads = 64;

}  // namespace

Connection::Connection(std::unique_ptr<ByteStream> stream) : stream_(std::move(stream)) {
  outgoing.reserve(kOutgoingRoom);
}

std::size_t Connection::send() noexcept {
  std::size_t sent = 0;
  while (sent < outgoing.size()) {
    const auto result = stream_->send(std::string_view{outgoing}.substr(sent));
    if (result.status != ByteStream::Status::kOk) {
      closing = result.status != ByteStream::Status::kAgain;
      break;
    }
    sent += result.count;
  }
  return sent;
}

Failure Connection::receive(std::vector<Reply>& replies) noexcept { return read(false, replies); }

Failure Connection::wait_and_receive(Deadline deadline, bool for_write, std::vector<Reply>& replies) noexcept {
  const auto longest = stream_->longest_wait();
  if (longest.count() > 0 && !for_write && deadline - std::chrono::steady_clock::now() > 2 * longest) {
    return read(true, replies);
  }
  return wait(deadline, for_write) ? receive(replies) : Failure{};
}

/// `may_wait` applies to the first read only.
Failure Connection::read(bool may_wait, std::vector<Reply>& replies) noexcept {
  std::array<char, 16'384> buffer;
  try {
    for (int reads = 0; reads < kMaxReads; ++reads, may_wait = false) {
      const auto result = stream_->receive(buffer, may_wait);
      switch (result.status) {
        case ByteStream::Status::kAgain: return {};
        case ByteStream::Status::kClosed: return lost("Redis closed it");
        case ByteStream::Status::kFailed:
          return result.error != 0 ? lost(std::system_category().message(result.error).c_str()) : failed();
        case ByteStream::Status::kOk: break;
      }
      has_received_ = true;
      const std::string_view bytes{buffer.data(), result.count};
      if (!parser_.feed(bytes, replies)) {
        // A TLS server may answer a request, a broken handshake to it, with an alert record (RFC 8446, section 6).
        const bool is_tls_alert = bytes.starts_with("\x15\x03");
        return {Errc::kProtocol, true,
                is_tls_alert ? "the bytes are a TLS alert; does it expect TLS (rediss://)?"
                             : "the bytes are not a RESP2 reply"};
      }
      if (result.count < buffer.size()) break;
    }
  } catch (const std::bad_alloc&) {
    is_out_of_memory = true;  // replies are lost, so later ones could not be assigned to their commands
    return {Errc::kConnectionLost, true, "out of memory"};
  }
  return {};
}

/// The stream's own failure. Before the first reply it is one of the set-up: with TLS 1.3 a server refuses a client's
/// certificate only after the handshake.
Failure Connection::failed() const {
  Failure failure = stream_->failure();
  if (has_received_ || !failure.code) failure.code = Errc::kConnectionLost;
  failure.may_have_executed = true;
  return failure;
}

Failure Connection::lost(const char* why) const {
  std::string detail = why;
  if (!has_received_ && !stream_->is_encrypted()) detail += " before it sent anything; does it expect TLS (rediss://)?";
  return {Errc::kConnectionLost, true, std::move(detail)};
}

}  // namespace tollgate::inline v0
