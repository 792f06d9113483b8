#include "server/control/acceptor.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <fstream>
#include <mutex>
#include <thread>
#include <vector>

#include "test_server.h"

namespace pmshelf::control {
namespace {

UniqueFd connect_to(const std::string& path) {
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    return UniqueFd();
  }
  return fd;
}

// True when the other end has closed, within 5 s.
bool is_closed(const UniqueFd& fd) {
  pollfd wait{fd.get(), POLLIN, 0};
  char byte = 0;
  return ::poll(&wait, 1, 5000) == 1 && ::read(fd.get(), &byte, 1) <= 0;
}

// Keeps what it accepts, as gRPC does.
class Accepted {
 public:
  Acceptor::Take take() {
    return [this](UniqueFd fd) {
      std::lock_guard lock(mutex_);
      fds_.push_back(std::move(fd));
    };
  }
  bool has(size_t count) {
    for (int tries = 0; tries < 500; ++tries) {
      if (size() == count) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }
  size_t size() {
    std::lock_guard lock(mutex_);
    return fds_.size();
  }
  void close_one() {
    std::lock_guard lock(mutex_);
    fds_.erase(fds_.begin());
  }

 private:
  std::mutex mutex_;
  std::vector<UniqueFd> fds_;
};

ListenSpec unix_spec(const std::string& path) { return {"control.listen", "unix:" + path}; }

TEST(Acceptor, HandsOverConnectionsAndRemovesItsSocketAtTheEnd) {
  TempDir dir;
  const std::string path = dir.file("s");
  Accepted accepted;
  Acceptor acceptor(10);
  ListenSpec spec = unix_spec(path);
  spec.unix_mode = 0640;
  ASSERT_TRUE(acceptor.listen(spec, accepted.take()).ok());
  ASSERT_TRUE(acceptor.start().ok());
  struct stat info{};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0640u);
  const UniqueFd client = connect_to(path);
  EXPECT_TRUE(accepted.has(1));
  acceptor.stop();
  EXPECT_NE(::stat(path.c_str(), &info), 0);
  EXPECT_FALSE(connect_to(path));
}

TEST(Acceptor, SocketOfALiveDaemonIsLeftAloneAndADeadOneReplaced) {
  TempDir dir;
  const std::string path = dir.file("s");
  Accepted accepted;
  {
    Acceptor first(10), second(10);
    ASSERT_TRUE(first.listen(unix_spec(path), accepted.take()).ok());
    const Status busy = second.listen(unix_spec(path), accepted.take());
    ASSERT_EQ(busy.code(), Code::kBusy);
    EXPECT_TRUE(busy.error().message().starts_with("control.listen"));
    EXPECT_TRUE(connect_to(path));
  }
  {
    UniqueFd dead(::socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    ASSERT_EQ(::bind(dead.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  Acceptor third(10);
  EXPECT_TRUE(third.listen(unix_spec(path), accepted.take()).ok());
}

TEST(Acceptor, FilesInTheWayAreNotRemoved) {
  TempDir dir;
  const std::string path = dir.file("s");
  std::ofstream(path) << "precious";
  Accepted accepted;
  Acceptor acceptor(10);
  EXPECT_EQ(acceptor.listen(unix_spec(path), accepted.take()).code(), Code::kInvalidArgument);
  struct stat info{};
  EXPECT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(acceptor.listen(unix_spec(dir.file("no/such/dir")), accepted.take()).code(), Code::kIo);
}

TEST(Acceptor, PortsInUseAreRefusedAndFreeOnesShown) {
  Accepted accepted;
  Acceptor first(10), second(10);
  ASSERT_TRUE(first.listen({"control.listen", "127.0.0.1:0"}, accepted.take()).ok());
  const std::string address = first.addresses().at(0);
  EXPECT_TRUE(address.starts_with("127.0.0.1:"));
  EXPECT_NE(address, "127.0.0.1:0");
  const Status busy = second.listen({"control.listen", address}, accepted.take());
  ASSERT_EQ(busy.code(), Code::kBusy);
  EXPECT_NE(busy.error().message().find(address), std::string::npos);
}

TEST(Acceptor, MoreConnectionsThanTheLimitAreClosedUntilOthersEnd) {
  TempDir dir;
  const std::string flooded = dir.file("a"), other = dir.file("b");
  Accepted accepted;
  Acceptor acceptor(3);
  ASSERT_TRUE(acceptor.listen(unix_spec(flooded), accepted.take()).ok());
  ASSERT_TRUE(acceptor.listen(unix_spec(other), accepted.take()).ok());
  ASSERT_TRUE(acceptor.start().ok());
  std::vector<UniqueFd> clients;
  for (int count = 0; count < 3; ++count) clients.push_back(connect_to(flooded));
  ASSERT_TRUE(accepted.has(3));
  EXPECT_TRUE(is_closed(connect_to(flooded)));
  const UniqueFd elsewhere = connect_to(other);  // its own limit
  EXPECT_TRUE(accepted.has(4));
  accepted.close_one();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const UniqueFd next = connect_to(flooded);
  EXPECT_TRUE(accepted.has(4));
}

// gRPC's own listener stops for good here.
TEST(Acceptor, GoesOnWhenFileDescriptorsWereShort) {
  TempDir dir;
  Accepted accepted;
  Acceptor acceptor(100);
  ASSERT_TRUE(acceptor.listen(unix_spec(dir.file("s")), accepted.take()).ok());
  ASSERT_TRUE(acceptor.start().ok());
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const UniqueFd client(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  rlimit none = before;
  none.rlim_cur = static_cast<rlim_t>(client.get()) + 1;  // every number below is in use, or
  std::vector<UniqueFd> fill;                             // will be
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  for (;;) {
    UniqueFd fd(::fcntl(client.get(), F_DUPFD_CLOEXEC, 0));
    if (!fd) break;
    fill.push_back(std::move(fd));
  }
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, dir.file("s").c_str(), sizeof address.sun_path - 1);
  EXPECT_EQ(::connect(client.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  EXPECT_EQ(accepted.size(), 0u);
  fill.clear();
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_TRUE(accepted.has(1));
}

}  // namespace
}  // namespace pmshelf::control
