#include "jobs/run/sha256.h"

#include <openssl/evp.h>

#include <fstream>
#include <memory>

#include "core/error.h"

namespace riverrun::jobs {

namespace {

void add_file(EVP_MD_CTX* context, const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  RR_CHECK_INPUT(file.good(), with_errno("cannot read " + path));
  std::vector<char> buffer(std::size_t{1} << 20);
  while (file) {
    file.read(buffer.data(), static_cast<std::streamsize>(buffer.size()));
    RR_CHECK(EVP_DigestUpdate(context, buffer.data(), static_cast<std::size_t>(file.gcount())) == 1, "SHA-256 failed");
  }
  RR_CHECK_INPUT(file.eof(), with_errno("cannot read " + path));
}

}  // namespace

std::string sha256_of_files(const std::vector<std::string>& paths) {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  RR_CHECK(context && EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) == 1, "cannot start SHA-256");
  for (const std::string& path : paths) add_file(context.get(), path);
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  RR_CHECK(EVP_DigestFinal_ex(context.get(), digest, &size) == 1, "SHA-256 failed");
  static constexpr char digits[] = "0123456789abcdef";
  std::string text;
  for (unsigned i = 0; i < size; ++i) text += digits[digest[i] >> 4], text += digits[digest[i] & 15];
  return text;
}

}  // namespace riverrun::jobs
