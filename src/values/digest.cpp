#include "values/digest.hpp"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <stdexcept>

namespace tollgate::inline v0 {
namespace {

unsigned char* bytes(Sha256Digest& digest) { return reinterpret_cast<unsigned char*>(digest.data()); }

}  // namespace

Sha256Digest sha256(std::string_view message) {
  Sha256Digest digest;
  if (EVP_Digest(message.data(), message.size(), bytes(digest), nullptr, EVP_sha256(), nullptr) != 1) {
    throw std::runtime_error("tollgate: OpenSSL made no SHA-256");
  }
  return digest;
}

Sha256Digest hmac_sha256(std::string_view key, std::string_view message) {
  Sha256Digest digest;
  if (HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
           reinterpret_cast<const unsigned char*>(message.data()), message.size(), bytes(digest), nullptr) == nullptr) {
    throw std::runtime_error("tollgate: OpenSSL made no HMAC");
  }
  return digest;
}

}  // namespace tollgate::inline v0
