#include <fcntl.h>
#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <deque>
#include <mutex>

#include "common/transport/stream/byte_stream.h"

namespace pmshelf::transport {
namespace {

// Descriptors that came along and nobody asked for yet; more of them break the connection.
constexpr size_t kReceivedFdsMax = 16;

class PlainStream final : public ByteStream {
 public:
  PlainStream(UniqueFd fd, bool takes_fds) : ByteStream(std::move(fd)), takes_fds_(takes_fds) {}

  IoResult handshake() override { return {IoResult::State::kMoved, 0}; }
  bool receives_into_pool_memory() const override { return true; }
  IoResult receive(std::span<const iovec> targets) override {
    return receive_with(targets, MSG_DONTWAIT);
  }
  IoResult receive_waiting(std::span<const iovec> targets) override {
    return receive_with(targets, 0);
  }
  bool allow_waiting(int timeout_ms) override;
  IoResult send(std::span<const iovec> sources, int pass_fd) override;
  UniqueFd take_fd() override;
  std::string error_text() const override { return std::strerror(error_); }

 private:
  IoResult receive_with(std::span<const iovec> targets, int flags);
  IoResult result_of(ssize_t count, IoResult::State would_block);
  bool keep_fds(const msghdr& message);

  const bool takes_fds_;
  std::atomic<int> error_{0};
  std::mutex fds_mutex_;
  std::deque<UniqueFd> fds_;
};

IoResult PlainStream::result_of(ssize_t count, IoResult::State would_block) {
  if (count > 0) return {IoResult::State::kMoved, static_cast<size_t>(count)};
  if (count == 0) return {IoResult::State::kEnded, 0};
  if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return {would_block, 0};
  if (errno == EFAULT) return {IoResult::State::kFault, 0};
  error_ = errno;
  return {IoResult::State::kFailed, 0};
}

IoResult PlainStream::receive_with(std::span<const iovec> targets, int flags) {
  if (targets.size() == 1 && !takes_fds_) {
    const auto& [base, bytes] = targets[0];
    return result_of(::recv(fd(), base, bytes, flags), IoResult::State::kWantRead);
  }
  alignas(cmsghdr) char control[CMSG_SPACE(kReceivedFdsMax * sizeof(int))];
  msghdr message = {};
  message.msg_iov = const_cast<iovec*>(targets.data());
  message.msg_iovlen = targets.size();
  if (takes_fds_) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
  }
  const ssize_t count = ::recvmsg(fd(), &message, flags | MSG_CMSG_CLOEXEC);
  if (count > 0 && message.msg_controllen > 0 && takes_fds_ && !keep_fds(message)) {
    error_ = EMFILE;
    return {IoResult::State::kFailed, 0};
  }
  return result_of(count, IoResult::State::kWantRead);
}

bool PlainStream::allow_waiting(int timeout_ms) {
  const timeval timeout = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000};
  const int flags = ::fcntl(fd(), F_GETFL);
  return ::setsockopt(fd(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) == 0 && flags >= 0 &&
         ::fcntl(fd(), F_SETFL, flags & ~O_NONBLOCK) == 0;
}

bool PlainStream::keep_fds(const msghdr& message) {
  const std::lock_guard lock(fds_mutex_);
  for (cmsghdr* item = CMSG_FIRSTHDR(&message); item != nullptr;
       item = CMSG_NXTHDR(const_cast<msghdr*>(&message), item)) {
    if (item->cmsg_level != SOL_SOCKET || item->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (item->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(item) + i * sizeof(int), sizeof fd);
      fds_.emplace_back(fd);
    }
  }
  return (message.msg_flags & MSG_CTRUNC) == 0 && fds_.size() <= kReceivedFdsMax;
}

IoResult PlainStream::send(std::span<const iovec> sources, int pass_fd) {
  if (sources.size() == 1 && pass_fd < 0) {
    const auto& [base, bytes] = sources[0];
    return result_of(::send(fd(), base, bytes, MSG_DONTWAIT | MSG_NOSIGNAL),
                     IoResult::State::kWantWrite);
  }
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message = {};
  message.msg_iov = const_cast<iovec*>(sources.data());
  message.msg_iovlen = sources.size();
  if (pass_fd >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* item = CMSG_FIRSTHDR(&message);
    item->cmsg_level = SOL_SOCKET;
    item->cmsg_type = SCM_RIGHTS;
    item->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(item), &pass_fd, sizeof pass_fd);
  }
  return result_of(::sendmsg(fd(), &message, MSG_DONTWAIT | MSG_NOSIGNAL),
                   IoResult::State::kWantWrite);
}

UniqueFd PlainStream::take_fd() {
  const std::lock_guard lock(fds_mutex_);
  if (fds_.empty()) return UniqueFd();
  UniqueFd fd = std::move(fds_.front());
  fds_.pop_front();
  return fd;
}

}  // namespace

std::unique_ptr<ByteStream> make_plain_stream(UniqueFd fd, bool takes_fds) {
  return std::make_unique<PlainStream>(std::move(fd), takes_fds);
}

}  // namespace pmshelf::transport
