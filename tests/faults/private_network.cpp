#include "faults/private_network.hpp"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>

namespace tollgate::tests {
namespace {

void check(bool succeeded, const std::string& what) {
  if (!succeeded) throw std::system_error{errno, std::generic_category(), what};
}

void write_file(const std::string& path, const std::string& text) {
  std::ofstream file{path};
  file << text << std::flush;
  check(file.good(), path);
}

/// Shows `text` to this process as the content of `path`, which exists.
void replace_file(const std::string& path, const std::string& text) {
  std::string made = std::filesystem::temp_directory_path() / "tollgate-XXXXXX";
  const int descriptor = ::mkstemp(made.data());
  check(descriptor >= 0, made);
  ::close(descriptor);
  write_file(made, text);
  const bool mounted = ::mount(made.c_str(), path.c_str(), nullptr, MS_BIND, nullptr) == 0;
  const int error = errno;
  ::unlink(made.c_str());
  errno = error;
  check(mounted, "mount over " + path);
}

/// A socket to query interfaces from the kernel.
class ControlSocket {
 public:
  explicit ControlSocket(int family) : descriptor_(::socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    check(descriptor_ >= 0, "socket");
  }
  ControlSocket(const ControlSocket&) = delete;
  ControlSocket& operator=(const ControlSocket&) = delete;
  ~ControlSocket() { ::close(descriptor_); }

  void request(unsigned long code, void* argument) const { check(::ioctl(descriptor_, code, argument) == 0, "ioctl"); }

 private:
  const int descriptor_;
};

}  // namespace

void enter_private_network(const std::string& hosts) {
  const auto user = std::to_string(::getuid());
  const auto group = std::to_string(::getgid());
  check(::unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS) == 0, "unshare");
  write_file("/proc/self/setgroups", "deny");
  write_file("/proc/self/uid_map", "0 " + user + " 1");
  write_file("/proc/self/gid_map", "0 " + group + " 1");
  check(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0, "mount /");
  replace_file("/etc/hosts", hosts);
  replace_file("/etc/resolv.conf", "nameserver 127.0.0.1\noptions timeout:30 attempts:1\n");
  replace_file("/etc/nsswitch.conf", "hosts: files dns\n");

  ifreq interface {};
  std::strcpy(interface.ifr_name, "lo");
  interface.ifr_flags = IFF_UP;
  ControlSocket{AF_INET}.request(SIOCSIFFLAGS, &interface);
}

void add_ipv4_network() {
  ifreq request{};
  std::strcpy(request.ifr_name, "lo:1");
  auto& address = reinterpret_cast<sockaddr_in&>(request.ifr_addr);
  address.sin_family = AF_INET;
  ::inet_pton(AF_INET, "192.0.2.1", &address.sin_addr);
  ControlSocket{AF_INET}.request(SIOCSIFADDR, &request);
}

void add_ipv6_network() {
  struct {  // in6_ifreq of <linux/ipv6.h>, which does not go together with <netinet/in.h>
    in6_addr address;
    std::uint32_t prefix_length;
    int interface;
  } request{};
  ::inet_pton(AF_INET6, "2001:db8::1", &request.address);
  request.prefix_length = 128;
  request.interface = static_cast<int>(::if_nametoindex("lo"));
  ControlSocket{AF_INET6}.request(SIOCSIFADDR, &request);
}

}  // namespace tollgate::tests
