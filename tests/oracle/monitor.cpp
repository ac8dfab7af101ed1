#include "oracle/monitor.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <stdexcept>
#include <string_view>
#include <utility>

namespace tollgate::tests {
namespace {

/// The words of `+<time> [<db> <address>] "INCRBY" "key" "5"`. Keys of this test hold nothing that would be escaped.
void split(std::string_view line, std::string& address, std::vector<std::string>& words) {
  words.clear();
  const auto open = line.find('[');
  const auto space = line.find(' ', open);
  const auto close = line.find(']', open);
  if (close == std::string_view::npos) return;
  address = line.substr(space + 1, close - space - 1);
  for (auto at = line.find('"', close); at != std::string_view::npos; at = line.find('"', at)) {
    const auto end = line.find('"', at + 1);
    if (end == std::string_view::npos) return;
    words.emplace_back(line.substr(at + 1, end - at - 1));
    at = end + 1;
  }
}

}  // namespace

Monitor::Monitor(std::uint16_t port, OnCommand on_command) : on_command_(std::move(on_command)) {
  socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  char ok[5];
  if (::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::send(socket_, "MONITOR\r\n", 9, MSG_NOSIGNAL) != 9 || ::recv(socket_, ok, sizeof ok, MSG_WAITALL) != 5) {
    throw std::runtime_error("MONITOR failed");
  }
  thread_ = std::thread([this] { run(); });
}

void Monitor::finish() {
  if (!thread_.joinable()) return;
  thread_.join();
  ::close(socket_);
}

void Monitor::run() {
  std::string pending;
  std::vector<char> buffer(1 << 20);
  std::string address;
  std::vector<std::string> words;
  for (;;) {
    const ssize_t count = ::recv(socket_, buffer.data(), buffer.size(), 0);
    if (count <= 0) return;
    pending.append(buffer.data(), static_cast<std::size_t>(count));
    std::size_t start = 0;
    for (auto end = pending.find("\r\n"); end != std::string::npos; end = pending.find("\r\n", start)) {
      split(std::string_view{pending}.substr(start, end - start), address, words);
      start = end + 2;
      if (words.empty() || address == "lua") continue;
      if (words.back() == kEnd) return;
      on_command_(address, words);
    }
    pending.erase(0, start);
  }
}

}  // namespace tollgate::tests
