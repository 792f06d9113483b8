#include "server/app/tls_files.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

namespace pmshelf::app {
namespace {

using File = std::unique_ptr<FILE, int (*)(FILE*)>;
using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;
using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;

Error file_error(const std::string& file, int error) {
  const Code code = error == ENOENT   ? Code::kNotFound
                    : error == EACCES ? Code::kPermissionDenied
                                      : Code::kIo;
  return Error(code, "'" + file + "': " + std::strerror(error));
}

Error content_error(const std::string& file, const std::string& what) {
  ERR_clear_error();
  return Error(Code::kInvalidArgument, "'" + file + "': " + what);
}

Result<File> open_file(const std::string& file) {
  struct stat status{};
  if (::stat(file.c_str(), &status) != 0) return file_error(file, errno);
  if (!S_ISREG(status.st_mode)) return content_error(file, "is not a regular file");
  File opened(std::fopen(file.c_str(), "re"), &std::fclose);
  if (!opened) return file_error(file, errno);
  return opened;
}

Result<Certificate> read_certificate(const std::string& file) {
  PMSHELF_TRY_ASSIGN(File opened, open_file(file));
  Certificate certificate(PEM_read_X509(opened.get(), nullptr, nullptr, nullptr), &X509_free);
  if (!certificate) return content_error(file, "holds no PEM certificate");
  return certificate;
}

std::string date_text(const ASN1_TIME* time) {
  std::unique_ptr<BIO, decltype(&BIO_free)> text(BIO_new(BIO_s_mem()), &BIO_free);
  ASN1_TIME_print(text.get(), time);
  char* data = nullptr;
  const long length = BIO_get_mem_data(text.get(), &data);
  return std::string(data, static_cast<size_t>(length));
}

}  // namespace

Status check_certificate(const std::string& file, int64_t now_unix_s) {
  PMSHELF_TRY_ASSIGN(const Certificate certificate, read_certificate(file));
  time_t now = now_unix_s;
  const ASN1_TIME* end = X509_get0_notAfter(certificate.get());
  const ASN1_TIME* begin = X509_get0_notBefore(certificate.get());
  if (X509_cmp_time(end, &now) < 0) {
    return content_error(file, "the certificate expired on " + date_text(end) + ": renew it");
  }
  if (X509_cmp_time(begin, &now) > 0) {
    return content_error(file, "the certificate is not in force before " + date_text(begin) +
                                   ": is the clock right?");
  }
  return {};
}

Status check_private_key(const std::string& file, const std::string& certificate_file) {
  PMSHELF_TRY(check_secret_file(file));
  PMSHELF_TRY_ASSIGN(File opened, open_file(file));
  // An empty pass phrase instead of OpenSSL's question on the terminal.
  char no_phrase[] = "";
  Key key(PEM_read_PrivateKey(opened.get(), nullptr, nullptr, no_phrase), &EVP_PKEY_free);
  if (!key) return content_error(file, "holds no PEM private key without a pass phrase");
  PMSHELF_TRY_ASSIGN(const Certificate certificate, read_certificate(certificate_file));
  if (X509_check_private_key(certificate.get(), key.get()) != 1) {
    return content_error(file, "is not the key of the certificate in '" + certificate_file + "'");
  }
  return {};
}

Status check_authority(const std::string& file) {
  PMSHELF_TRY(read_certificate(file));
  return {};
}

Status check_secret_file(const std::string& file) {
  PMSHELF_TRY(open_file(file));
  struct stat status{};
  if (::stat(file.c_str(), &status) != 0) return file_error(file, errno);
  if ((status.st_mode & (S_IROTH | S_IWOTH)) != 0) {
    return Error(Code::kPermissionDenied,
                 "'" + file + "' can be read or written by everybody: chmod o-rwx '" + file + "'");
  }
  return {};
}

}  // namespace pmshelf::app
