#include "transport/tls_files.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/pem.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <new>
#include <system_error>
#include <utility>

namespace tollgate::inline v0 {
namespace {

constexpr std::size_t kMaxFile = 4UL * 1024 * 1024;  // all CAs of a system are about 200 KiB

std::string reason_of(int error) { return std::system_category().message(error); }

class OpenFile {
 public:
  explicit OpenFile(const std::string& path) noexcept
      : descriptor_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)) {}
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  ~OpenFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  [[nodiscard]] int descriptor() const noexcept { return descriptor_; }

 private:
  const int descriptor_;
};

/// Sets `text` to the file's bytes; returns the reason when it cannot.
std::string read_file(const std::string& path, std::string& text) {
  const OpenFile file{path};
  struct stat state {};
  if (file.descriptor() < 0 || ::fstat(file.descriptor(), &state) != 0) return reason_of(errno);
  if (!S_ISREG(state.st_mode)) return "it is not a regular file";
  if (static_cast<std::size_t>(state.st_size) > kMaxFile) return fmt::format("it is larger than {} bytes", kMaxFile);
  text.resize(static_cast<std::size_t>(state.st_size));  // at once, so that no copy of a key is left behind
  std::size_t size = 0;
  while (size < text.size()) {
    const ssize_t count = ::read(file.descriptor(), text.data() + size, text.size() - size);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return reason_of(errno);
    if (count == 0) break;
    size += static_cast<std::size_t>(count);
  }
  text.resize(size);
  return {};
}

openssl::Bio bio_over(std::string_view text) {
  openssl::Bio bio{BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))};
  if (!bio) throw std::bad_alloc{};
  return bio;
}

/// Called for the password of an encrypted key: there is none, and OpenSSL's own function would ask on the terminal.
int refuse_password(char* /*password*/, int /*room*/, int /*is_new*/, void* was_asked) noexcept {
  *static_cast<bool*>(was_asked) = true;
  return -1;
}

}  // namespace

TlsFiles::~TlsFiles() {
  OPENSSL_cleanse(certificate.data(), certificate.size());
  OPENSSL_cleanse(key.data(), key.size());
}

TlsFiles read_tls_files(const TlsOptions& options) {
  TlsFiles files;
  const auto read = [&files](const char* field, const std::string& path, std::string& text) {
    if (path.empty() || !files.error.empty()) return;
    if (const std::string error = read_file(path, text); !error.empty()) {
      files.error = fmt::format("{} is {}, which cannot be read: {}", field, path, error);
    }
  };
  read("ca_file", options.ca_file, files.ca);
  read("cert_file", options.cert_file, files.certificate);
  if (options.key_file.empty()) {
    read("cert_file", options.cert_file, files.key);
  } else {
    read("key_file", options.key_file, files.key);
  }
  if (!options.ca_path.empty() && files.error.empty()) {
    DIR* const folder = ::opendir(options.ca_path.c_str());
    if (folder == nullptr) {
      files.error = fmt::format("ca_path is {}, which cannot be read: {}", options.ca_path, reason_of(errno));
    } else {
      ::closedir(folder);
    }
  }
  return files;
}

PemCertificates parse_certificates(std::string_view pem) {
  const openssl::ErrorScope errors;
  const openssl::Bio bio = bio_over(pem);
  PemCertificates found;
  for (;;) {
    openssl::Certificate certificate{PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)};
    if (!certificate) break;
    found.certificates.push_back(std::move(certificate));
  }
  const unsigned long error = ERR_peek_last_error();
  const bool is_at_end = ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
  if (!is_at_end) {
    found.error = fmt::format("certificate {} in it is malformed ({})", found.certificates.size() + 1,
                              openssl::ErrorScope::reason());
  } else if (found.certificates.empty()) {
    found.error = "it has no certificate in PEM form";
  }
  return found;
}

PemKey parse_private_key(std::string_view pem) {
  const openssl::ErrorScope errors;
  const openssl::Bio bio = bio_over(pem);
  bool is_encrypted = false;
  PemKey found{openssl::PrivateKey{PEM_read_bio_PrivateKey(bio.get(), nullptr, &refuse_password, &is_encrypted)}};
  if (!found.key) {
    found.error = is_encrypted ? "its private key is encrypted; write it without a password"
                               : "it has no private key in PEM form, or a malformed one";
  }
  return found;
}

}  // namespace tollgate::inline v0
