#include "oracle/monitor.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace tollgate::tests {
namespace {

/// The address and the words of `+<time> [<db> <address>] "INCRBY" "key" "5"`; no words for what a script called.
std::string_view split(std::string_view line, std::vector<std::string_view>& words) {
  words.clear();
  const auto open = line.find('[');
  const auto space = line.find(' ', open);
  const auto close = line.find(']', open);
  if (close == std::string_view::npos || space > close) return {};
  const std::string_view address = line.substr(space + 1, close - space - 1);
  if (address == "lua") return address;
  for (auto at = line.find('"', close); at != std::string_view::npos; at = line.find('"', at)) {
    const auto end = line.find('"', at + 1);
    if (end == std::string_view::npos) break;
    words.push_back(line.substr(at + 1, end - at - 1));
    at = end + 1;
  }
  return address;
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
    ::close(socket_);
    throw std::runtime_error("MONITOR failed");
  }
  thread_ = std::thread([this] { run(); });
}

Monitor::~Monitor() {
  ::shutdown(socket_, SHUT_RDWR);
  if (thread_.joinable()) thread_.join();
  ::close(socket_);
}

void Monitor::finish() {
  thread_.join();
  if (!ended_) throw std::runtime_error("the record of MONITOR broke off");
}

void Monitor::run() {
  std::string pending;
  std::vector<char> buffer(std::size_t{1} << 20U);
  std::vector<std::string_view> words;
  for (;;) {
    const ssize_t count = ::recv(socket_, buffer.data(), buffer.size(), 0);
    if (count <= 0) return;
    pending.append(buffer.data(), static_cast<std::size_t>(count));
    std::size_t start = 0;
    for (auto end = pending.find('\n'); end != std::string::npos; end = pending.find('\n', start)) {
      const std::string_view address = split(std::string_view{pending}.substr(start, end - start), words);
      start = end + 1;
      if (words.empty()) continue;
      ended_ = words.back() == kEnd;
      if (ended_) return;
      on_command_(address, words);
    }
    pending.erase(0, start);
  }
}

}  // namespace tollgate::tests
