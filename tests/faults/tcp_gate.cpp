#include "faults/tcp_gate.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <stdexcept>
#include <utility>
#include <vector>

namespace tollgate::tests {
namespace {

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

void reset(int descriptor) {
  const linger at_once{1, 0};  // RST instead of FIN
  ::setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  ::close(descriptor);
}

/// The length of the first reply: an error, a status, an integer or a string; 0 when it is not there whole.
std::size_t length_of_first_reply(const std::string& bytes) {
  const std::size_t line = bytes.find("\r\n");
  if (line == std::string::npos) return 0;
  const bool has_body = bytes[0] == '$' && bytes[1] != '-';
  const std::size_t length = line + 2 + (has_body ? std::stoul(bytes.substr(1)) + 2 : 0);
  return length <= bytes.size() ? length : 0;
}

}  // namespace

TcpGate::TcpGate(std::uint16_t server_port) : server_port_(server_port) {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  sockaddr_in address = loopback(0);
  socklen_t length = sizeof address;
  if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), length) != 0 || ::listen(listener_, 64) != 0 ||
      ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length) != 0 ||
      ::pipe2(wake_, O_CLOEXEC | O_NONBLOCK) != 0) {
    throw std::runtime_error("the gate cannot listen");
  }
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { run(); });
}

TcpGate::~TcpGate() {
  stop_ = true;
  wake();
  thread_.join();
  reset_all();
  for (const int descriptor : {listener_, wake_[0], wake_[1]}) ::close(descriptor);
}

void TcpGate::wake() const { static_cast<void>(::write(wake_[1], "x", 1) == 1); }

int TcpGate::connect_to_server() const {
  const int descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = loopback(server_port_);
  if (::connect(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    ::close(descriptor);
    return -1;
  }
  return descriptor;
}

void TcpGate::accept_link() {
  const int client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
  if (client < 0) return;
  ++connections_;
  const int server = refuse_ ? -1 : connect_to_server();
  if (server < 0) return reset(client);
  const int yes = 1;
  for (const int descriptor : {client, server}) {
    ::setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  }
  links_.push_back({.client = client, .server = server, .requests = {}, .replies = {}});
}

void TcpGate::take_in(Link& link, bool from_client) {
  std::array<char, 16384> buffer;
  const ssize_t count = ::recv(from_client ? link.client : link.server, buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (count <= 0) {
    link.ended = link.ended || count == 0 || errno != EAGAIN;
    return;
  }
  if (from_client) {
    request_bytes_ += static_cast<std::size_t>(count);
    link.client_spoke = true;
  } else if (link.client_spoke) {
    link.client_spoke = false;
    ++turns_;
  }
  if (link.dropped) return;
  std::string bytes(buffer.data(), static_cast<std::size_t>(count));
  if (from_client && !closed_on_.empty() && bytes.find(closed_on_) != std::string::npos) {
    ++closed_on_word_;
    link.ended = true;
    link.replies.chunks.clear();
    return;
  }
  if (!from_client) {
    reply_bytes_ += bytes.size();
    falsify(bytes);
  }
  Pipe& pipe = from_client ? link.requests : link.replies;
  if (!bytes.empty()) pipe.chunks.push_back({Clock::now() + delay_, std::move(bytes)});
}

void TcpGate::falsify(std::string& replies) {
  if (replies_to_swallow_ > 0) {
    const std::size_t length = length_of_first_reply(replies);
    replies.erase(0, length);
    if (length > 0) --replies_to_swallow_;
  }
  replies.insert(0, std::exchange(inserted_, {}));
}

void TcpGate::let_out(Link& link, bool to_server) {
  Pipe& pipe = to_server ? link.requests : link.replies;
  std::size_t& bytes_left = to_server ? request_bytes_left_ : reply_bytes_left_;
  if (!(to_server ? pass_requests_ : pass_replies_) || (!to_server && reply_turns_left_ <= 0)) return;
  const auto now = Clock::now();
  while (!pipe.chunks.empty() && pipe.chunks.front().due <= now && pipe.next_fragment <= now) {
    std::string& bytes = pipe.chunks.front().bytes;
    const std::size_t whole = fragment_ == 0 ? bytes.size() : std::min(fragment_, bytes.size());
    const std::size_t count = std::min(whole, bytes_left);
    if (count > 0) {
      const ssize_t sent =
          ::send(to_server ? link.server : link.client, bytes.data(), count, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent < 0) {
        link.ended = link.ended || errno != EAGAIN;
        return;
      }
      bytes.erase(0, static_cast<std::size_t>(sent));
      if (bytes_left != kUnlimited) bytes_left -= static_cast<std::size_t>(sent);
    }
    if (bytes_left == 0) {
      cut_ = true;
      return;
    }
    if (fragment_ != 0) pipe.next_fragment = now + apart_;
    if (!bytes.empty()) continue;
    pipe.chunks.pop_front();
    if (!to_server && reply_turns_left_ != std::numeric_limits<int>::max() && --reply_turns_left_ <= 0) return;
  }
}

void TcpGate::reset_all() {
  for (const Link& link : links_) {
    // An orderly close towards the server, so that it still reads what was sent; a reset towards the client.
    ::close(link.server);
    reset(link.client);
  }
  links_.clear();
}

TcpGate::Clock::time_point TcpGate::earliest_due() const {
  auto earliest = Clock::time_point::max();
  for (const Link& link : links_) {
    for (const Pipe* pipe : {&link.requests, &link.replies}) {
      if (!pipe->chunks.empty()) earliest = std::min(earliest, std::max(pipe->chunks.front().due, pipe->next_fragment));
    }
  }
  return earliest;
}

void TcpGate::run() {
  ::prctl(PR_SET_TIMERSLACK, 1UL);  // ns: or else delays last up to 50 us longer
  std::vector<pollfd> entries;
  while (!stop_) {
    Clock::time_point next_due;
    {
      const std::lock_guard lock{mutex_};
      for (Link& link : links_) {
        let_out(link, true);
        let_out(link, false);
      }
      next_due = earliest_due();
      if (cut_) {
        reset_all();
        cut_ = false;
        request_bytes_left_ = reply_bytes_left_ = kUnlimited;
        ++cuts_;
      }
      links_.remove_if([this](const Link& link) {
        if (!link.ended || !link.replies.chunks.empty()) return false;
        ++ended_connections_;
        ::close(link.client);
        ::close(link.server);
        return true;
      });
      entries = {{listener_, POLLIN, 0}, {wake_[0], POLLIN, 0}};
      for (const Link& link : links_) {
        const short events = link.ended ? 0 : POLLIN;
        entries.push_back({link.client, events, 0});
        entries.push_back({link.server, events, 0});
      }
    }
    // Overdue bytes are withheld, or the peer does not accept them: they are tried again a little later.
    const auto now = Clock::now();
    const auto nap = std::chrono::nanoseconds{next_due > now ? next_due - now : std::chrono::microseconds{200}};
    const timespec time{nap.count() / 1'000'000'000, nap.count() % 1'000'000'000};
    ::ppoll(entries.data(), entries.size(), next_due != Clock::time_point::max() ? &time : nullptr, nullptr);

    const std::lock_guard lock{mutex_};
    std::array<char, 64> wakes;
    while (::read(wake_[0], wakes.data(), wakes.size()) > 0) {
    }
    std::size_t entry = 2;
    for (Link& link : links_) {
      if (entry + 1 >= entries.size()) break;
      if (entries[entry].revents != 0 && !link.ended) take_in(link, true);
      if (entries[entry + 1].revents != 0 && !link.ended) take_in(link, false);
      entry += 2;
    }
    if ((entries[0].revents & POLLIN) != 0) accept_link();
  }
}

}  // namespace tollgate::tests
