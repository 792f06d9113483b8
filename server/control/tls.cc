#include "server/control/tls.h"

#include <fcntl.h>
#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <utility>

#include "common/base/unique_fd.h"

namespace pmshelf::control {
namespace {

constexpr uint64_t kPemBytesMax = 1 << 20;
constexpr uint64_t kLookAgainMs = 1000;

struct BioFree {
  void operator()(BIO* bio) const { ::BIO_free(bio); }
};
struct X509Free {
  void operator()(X509* certificate) const { ::X509_free(certificate); }
};
struct KeyFree {
  void operator()(EVP_PKEY* key) const { ::EVP_PKEY_free(key); }
};
using BioPtr = std::unique_ptr<BIO, BioFree>;
using X509Ptr = std::unique_ptr<X509, X509Free>;
using KeyPtr = std::unique_ptr<EVP_PKEY, KeyFree>;

Error bad(std::string_view what, const std::string& path, std::string_view why) {
  ::ERR_clear_error();
  return Error(Code::kInvalidArgument, std::string(what) + " '" + path + "' " + std::string(why));
}

Result<std::string> read_pem(std::string_view what, const std::string& path, mode_t forbidden) {
  if (path.empty()) return bad(what, path, "is not set");
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) return bad(what, path, std::string("cannot be opened: ") + std::strerror(errno));
  struct stat info{};
  if (::fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode)) {
    return bad(what, path, "is not a regular file");
  }
  if ((info.st_mode & forbidden) != 0) {
    return bad(what, path, "can be read by everybody: chmod o= " + path);
  }
  std::string text;
  std::array<char, 16384> buffer{};
  for (;;) {
    const ssize_t count = ::read(fd.get(), buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return bad(what, path, std::string("cannot be read: ") + std::strerror(errno));
    if (count == 0) return text;
    text.append(buffer.data(), static_cast<size_t>(count));
    if (text.size() > kPemBytesMax) return bad(what, path, "is larger than 1 MiB");
  }
}

BioPtr over(const std::string& pem) {
  return BioPtr(::BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

// Never asks for a pass phrase on the terminal.
int no_pass_phrase(char*, int, int, void*) { return -1; }

Status check_pair(const TlsOptions& options, const TlsMaterial& material, const Clock& clock) {
  const BioPtr cert_bio = over(material.cert_pem);
  const X509Ptr cert(::PEM_read_bio_X509(cert_bio.get(), nullptr, no_pass_phrase, nullptr));
  if (!cert) return bad("certificate", options.cert_file, "holds no PEM certificate");
  const BioPtr key_bio = over(material.key_pem);
  const KeyPtr key(::PEM_read_bio_PrivateKey(key_bio.get(), nullptr, no_pass_phrase, nullptr));
  if (!key) return bad("key", options.key_file, "holds no PEM private key without a pass phrase");
  if (::X509_check_private_key(cert.get(), key.get()) != 1) {
    return bad("key", options.key_file, "does not belong to certificate " + options.cert_file);
  }
  time_t now = static_cast<time_t>(clock.unix_ms() / 1000);
  if (::X509_cmp_time(::X509_get0_notAfter(cert.get()), &now) <= 0) {
    return bad("certificate", options.cert_file, "has expired: renew it");
  }
  if (::X509_cmp_time(::X509_get0_notBefore(cert.get()), &now) > 0) {
    return bad("certificate", options.cert_file, "is not valid yet: check the host's clock");
  }
  return {};
}

// What a file looked like, to notice that it changed.
struct FileMark {
  uint64_t device = 0, inode = 0, bytes = 0, seconds = 0, nanoseconds = 0;
  bool operator==(const FileMark&) const = default;
};

FileMark mark_of(const std::string& path) {
  struct stat info{};
  if (path.empty() || ::stat(path.c_str(), &info) != 0) return {};
  return {info.st_dev, info.st_ino, static_cast<uint64_t>(info.st_size),
          static_cast<uint64_t>(info.st_mtim.tv_sec), static_cast<uint64_t>(info.st_mtim.tv_nsec)};
}

// The pair in force, and when to look at the files again. Any thread.
class Reloader {
 public:
  Reloader(const TlsOptions& options, const Clock& clock, TlsMaterial material)
      : options_(options), clock_(clock), material_(std::move(material)), marks_(marks()) {}

  static grpc_ssl_certificate_config_reload_status fetch(
      void* self, grpc_ssl_server_certificate_config** config) {
    return static_cast<Reloader*>(self)->fetch(config);
  }

 private:
  using Marks = std::array<FileMark, 3>;

  Marks marks() const {
    return {mark_of(options_.cert_file), mark_of(options_.key_file),
            mark_of(options_.client_ca_file)};
  }

  grpc_ssl_certificate_config_reload_status fetch(grpc_ssl_server_certificate_config** config) {
    std::lock_guard lock(mutex_);
    if (given_ && !reload()) return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
    given_ = true;
    const grpc_ssl_pem_key_cert_pair pair{material_.key_pem.c_str(), material_.cert_pem.c_str()};
    const std::string& ca = material_.client_ca_pem;
    *config =
        ::grpc_ssl_server_certificate_config_create(ca.empty() ? nullptr : ca.c_str(), &pair, 1);
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
  }

  // True when another good pair is in force now.
  bool reload() {
    const uint64_t now = clock_.boot_ms();
    if (now < look_again_boot_ms_) return false;
    look_again_boot_ms_ = now + kLookAgainMs;
    const Marks seen = marks();
    if (seen == marks_) return false;
    marks_ = seen;
    auto fresh = load_tls(options_, clock_);
    if (!fresh.ok()) {
      spdlog::warn("TLS: {}; the certificate in force stays", fresh.error().message());
      return false;
    }
    material_ = *std::move(fresh);
    spdlog::info("TLS: certificate '{}' loaded", options_.cert_file);
    return true;
  }

  const TlsOptions options_;
  const Clock& clock_;
  std::mutex mutex_;
  TlsMaterial material_;
  Marks marks_;
  bool given_ = false;
  uint64_t look_again_boot_ms_ = 0;
};

// gRPC's C++ layer has no credentials with a certificate callback; its C layer has. Keeps the
// reloader alive for as long as connections can come in.
class ReloadingCredentials final : public grpc::ServerCredentials {
 public:
  ReloadingCredentials(std::unique_ptr<Reloader> reloader,
                       grpc_ssl_client_certificate_request_type request)
      : reloader_(std::move(reloader)),
        credentials_(::grpc_ssl_server_credentials_create_with_options(
            ::grpc_ssl_server_credentials_create_options_using_config_fetcher(
                request, &Reloader::fetch, reloader_.get()))) {}
  ~ReloadingCredentials() override { ::grpc_server_credentials_release(credentials_); }

  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>&) override {}

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override {
    return ::grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }

  std::unique_ptr<Reloader> reloader_;
  grpc_server_credentials* credentials_;
};

}  // namespace

Result<TlsMaterial> load_tls(const TlsOptions& options, const Clock& clock) {
  TlsMaterial material;
  PMSHELF_TRY_ASSIGN(material.cert_pem, read_pem("certificate", options.cert_file, 0));
  PMSHELF_TRY_ASSIGN(material.key_pem, read_pem("key", options.key_file, S_IRWXO));
  PMSHELF_TRY(check_pair(options, material, clock));
  if (options.client_ca_file.empty()) {
    if (!options.require_client_certificate) return material;
    return Error(Code::kInvalidArgument,
                 "client certificates are required: set the CA file that they are checked with");
  }
  PMSHELF_TRY_ASSIGN(material.client_ca_pem, read_pem("client CA", options.client_ca_file, 0));
  const BioPtr bio = over(material.client_ca_pem);
  const X509Ptr ca(::PEM_read_bio_X509(bio.get(), nullptr, no_pass_phrase, nullptr));
  if (!ca) return bad("client CA", options.client_ca_file, "holds no PEM certificate");
  return material;
}

Result<std::shared_ptr<grpc::ServerCredentials>> make_tls_credentials(const TlsOptions& options,
                                                                      const Clock& clock) {
  PMSHELF_TRY_ASSIGN(TlsMaterial material, load_tls(options, clock));
  grpc_ssl_client_certificate_request_type request = GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE;
  if (!options.client_ca_file.empty()) {
    request = options.require_client_certificate
                  ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                  : GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_AND_VERIFY;
  }
  auto reloader = std::make_unique<Reloader>(options, clock, std::move(material));
  return std::shared_ptr<grpc::ServerCredentials>(
      std::make_shared<ReloadingCredentials>(std::move(reloader), request));
}

}  // namespace pmshelf::control
