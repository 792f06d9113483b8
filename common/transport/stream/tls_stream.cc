// TLS over a socket that never blocks. OpenSSL does the record layer; a BIO of our own does the
// system calls, so that a broken connection never raises SIGPIPE.
#include <openssl/bio.h>
#include <openssl/err.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <mutex>

#include "common/base/check.h"
#include "common/media/guard.h"
#include "common/transport/stream/byte_stream.h"
#include "common/transport/stream/tls.h"

namespace pmshelf::transport {
namespace {

// What one TLS record carries.
constexpr size_t kRecordBytesMax = 16 * 1024;

int fd_of(BIO* bio) { return static_cast<int>(reinterpret_cast<intptr_t>(BIO_get_data(bio))); }

bool would_block() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

int bio_write(BIO* bio, const char* data, int bytes) {
  BIO_clear_retry_flags(bio);
  const ssize_t count =
      ::send(fd_of(bio), data, static_cast<size_t>(bytes), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (count < 0 && would_block()) BIO_set_retry_write(bio);
  return static_cast<int>(count);
}

int bio_read(BIO* bio, char* data, int bytes) {
  BIO_clear_retry_flags(bio);
  const ssize_t count = ::recv(fd_of(bio), data, static_cast<size_t>(bytes), MSG_DONTWAIT);
  if (count < 0 && would_block()) BIO_set_retry_read(bio);
  return static_cast<int>(count);
}

long bio_ctrl(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

int bio_create(BIO* bio) {
  BIO_set_init(bio, 1);
  return 1;
}

BIO_METHOD* socket_method() {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "pmshelf socket");
    PMSHELF_CHECK(made != nullptr);
    BIO_meth_set_write(made, bio_write);
    BIO_meth_set_read(made, bio_read);
    BIO_meth_set_ctrl(made, bio_ctrl);
    BIO_meth_set_create(made, bio_create);
    return made;
  }();
  return method;
}

// One mutex over both directions: OpenSSL allows no two calls on one SSL at once.
class TlsStream final : public ByteStream {
 public:
  TlsStream(UniqueFd fd, UniqueSsl ssl);

  IoResult handshake() override;
  IoResult receive(std::span<const iovec> targets) override;
  IoResult send(std::span<const iovec> sources, int pass_fd) override;
  bool receives_into_pool_memory() const override { return false; }
  std::string error_text() const override {
    const std::lock_guard lock(mutex_);
    return error_text_;
  }

 private:
  IoResult failure(int ssl_result);
  bool gather(std::span<const iovec> sources, size_t skip);

  mutable std::mutex mutex_;
  UniqueSsl ssl_;
  std::string error_text_;
  // The record being sent: OpenSSL wants the same bytes again after kWantWrite.
  std::array<std::byte, kRecordBytesMax> record_;
  size_t record_bytes_ = 0;
};

TlsStream::TlsStream(UniqueFd socket, UniqueSsl ssl)
    : ByteStream(std::move(socket)), ssl_(std::move(ssl)) {
  BIO* bio = BIO_new(socket_method());
  PMSHELF_CHECK(bio != nullptr);
  BIO_set_data(bio, reinterpret_cast<void*>(static_cast<intptr_t>(fd())));
  SSL_set_bio(ssl_.get(), bio, bio);
  SSL_set_mode(ssl_.get(), SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  // Without SSL_MODE_ENABLE_PARTIAL_WRITE a successful write has taken every byte.
  SSL_clear_mode(ssl_.get(), SSL_MODE_ENABLE_PARTIAL_WRITE);
}

IoResult TlsStream::failure(int ssl_result) {
  const int saved_errno = errno;
  switch (SSL_get_error(ssl_.get(), ssl_result)) {
    case SSL_ERROR_WANT_READ:
      return {IoResult::State::kWantRead, 0};
    case SSL_ERROR_WANT_WRITE:
      return {IoResult::State::kWantWrite, 0};
    case SSL_ERROR_ZERO_RETURN:
      return {IoResult::State::kEnded, 0};
    case SSL_ERROR_SYSCALL:
      if (saved_errno == 0) return {IoResult::State::kEnded, 0};
      error_text_ = std::strerror(saved_errno);
      return {IoResult::State::kFailed, 0};
    default:
      error_text_ = tls_error_text();
      if (const long verdict = SSL_get_verify_result(ssl_.get()); verdict != X509_V_OK) {
        error_text_ += std::string(" (") + X509_verify_cert_error_string(verdict) + ")";
      }
      return {IoResult::State::kFailed, 0};
  }
}

IoResult TlsStream::handshake() {
  const std::lock_guard lock(mutex_);
  ERR_clear_error();
  errno = 0;
  const int result = SSL_do_handshake(ssl_.get());
  if (result == 1) return {IoResult::State::kMoved, 0};
  return failure(result);
}

IoResult TlsStream::receive(std::span<const iovec> targets) {
  const std::lock_guard lock(mutex_);
  size_t total_bytes = 0;
  for (const auto& [base, bytes] : targets) {
    size_t at = 0;
    while (at < bytes) {
      ERR_clear_error();
      errno = 0;
      size_t moved = 0;
      const int result =
          SSL_read_ex(ssl_.get(), static_cast<std::byte*>(base) + at, bytes - at, &moved);
      if (result != 1) {
        if (total_bytes > 0) return {IoResult::State::kMoved, total_bytes};
        return failure(result);
      }
      at += moved;
      total_bytes += moved;
    }
  }
  return {IoResult::State::kMoved, total_bytes};
}

// Fills the record from the sources, leaving out their first `skip` bytes. False: the first piece
// cannot be accessed.
bool TlsStream::gather(std::span<const iovec> sources, size_t skip) {
  record_bytes_ = 0;
  for (const auto& [base, bytes] : sources) {
    if (skip >= bytes) {
      skip -= bytes;
      continue;
    }
    const size_t part = std::min(bytes - skip, kRecordBytesMax - record_bytes_);
    if (!media::guarded_copy(record_.data() + record_bytes_,
                             static_cast<const std::byte*>(base) + skip, part)) {
      return record_bytes_ > 0;
    }
    record_bytes_ += part;
    skip = 0;
    if (record_bytes_ == kRecordBytesMax) break;
  }
  return true;
}

IoResult TlsStream::send(std::span<const iovec> sources, int pass_fd) {
  PMSHELF_CHECK(pass_fd < 0);
  const std::lock_guard lock(mutex_);
  size_t total_bytes = 0;
  for (;;) {
    if (record_bytes_ == 0 && !gather(sources, total_bytes)) {
      if (total_bytes > 0) return {IoResult::State::kMoved, total_bytes};
      return {IoResult::State::kFault, 0};
    }
    if (record_bytes_ == 0) return {IoResult::State::kMoved, total_bytes};
    ERR_clear_error();
    errno = 0;
    size_t moved = 0;
    const int result = SSL_write_ex(ssl_.get(), record_.data(), record_bytes_, &moved);
    if (result != 1) {
      if (total_bytes > 0) return {IoResult::State::kMoved, total_bytes};
      return failure(result);
    }
    PMSHELF_CHECK(moved == record_bytes_);
    total_bytes += moved;
    record_bytes_ = 0;
  }
}

}  // namespace

std::unique_ptr<ByteStream> make_tls_stream(UniqueFd fd, UniqueSsl ssl) {
  return std::make_unique<TlsStream>(std::move(fd), std::move(ssl));
}

}  // namespace pmshelf::transport
