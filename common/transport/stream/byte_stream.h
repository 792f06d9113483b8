// One connected stream socket that never blocks, plain or TLS. Both ends of a connection use it.
#pragma once

#include <openssl/ssl.h>
#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "common/base/unique_fd.h"
#include "pmshelf/result.h"

namespace pmshelf::transport {

struct IoResult {
  enum class State : uint8_t {
    kMoved,      // `bytes` moved, at least 1 (handshake: finished)
    kWantRead,   // nothing moved; try again when the socket is readable
    kWantWrite,  // nothing moved; try again when it is writable
    kEnded,      // the peer has closed
    kFault,      // nothing moved: the first piece of memory cannot be accessed (truncated file)
    kFailed,     // the connection is broken; error_text() says how
  };
  State state = State::kFailed;
  size_t bytes = 0;
};

// Owner: the connection or channel. Threads: one receiver and one sender at a time, which may run
// at once. No call blocks, but receive_waiting().
class ByteStream {
 public:
  explicit ByteStream(UniqueFd fd) : fd_(std::move(fd)) {}
  ByteStream(const ByteStream&) = delete;
  ByteStream& operator=(const ByteStream&) = delete;
  virtual ~ByteStream() = default;

  int fd() const { return fd_.get(); }
  // Plain streams: kMoved at once.
  virtual IoResult handshake() = 0;
  // Fills the targets in order, as far as bytes are there. At least one target is not empty.
  virtual IoResult receive(std::span<const iovec> targets) = 0;
  // As receive(), but waits until something is there: kWantRead after the time given to
  // allow_waiting(), or when a signal came. Only after that call succeeded.
  virtual IoResult receive_waiting(std::span<const iovec> targets) { return receive(targets); }
  // False: this stream cannot wait in the kernel, poll() has to.
  virtual bool allow_waiting(int /*timeout_ms*/) { return false; }
  // Sends from the sources in order, as far as there is room. `pass_fd` (or -1) travels with the
  // first byte. After kWantWrite or kWantRead the next call must begin with the same bytes.
  virtual IoResult send(std::span<const iovec> sources, int pass_fd) = 0;
  // The oldest descriptor that came along and was not taken yet; -1: none.
  virtual UniqueFd take_fd() { return UniqueFd(); }
  // True: the kernel accesses targets and sources, and says kFault where that is impossible.
  // False: receive() writes targets in this process, so that pool memory must not be one.
  virtual bool receives_into_pool_memory() const = 0;
  virtual std::string error_text() const = 0;

 private:
  UniqueFd fd_;
};

// `takes_fds`: keep descriptors that the peer passes (a Unix socket); otherwise the kernel drops
// them.
std::unique_ptr<ByteStream> make_plain_stream(UniqueFd fd, bool takes_fds);

struct SslFree {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
};
using UniqueSsl = std::unique_ptr<SSL, SslFree>;
// `ssl` has its context and its role (SSL_set_accept_state or SSL_set_connect_state).
std::unique_ptr<ByteStream> make_tls_stream(UniqueFd fd, UniqueSsl ssl);

}  // namespace pmshelf::transport
