// The listener: where it listens, how many it takes, how it ends.
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <fstream>

#include "tests/protocol/protocol_fixture.h"

namespace pmshelf::transport {
namespace {

using std::chrono::milliseconds;
using wire::FrameHeader;
using wire::Op;

Result<std::unique_ptr<StreamListener>> listen(DataThreads& threads, MemoryService& service,
                                               ListenOptions options) {
  return StreamListener::open(threads.pool(), std::move(options), service.factory());
}

TEST(Listener_Open, NamesWhatIsWrong) {
  MemoryService service;
  DataThreads threads(1);
  TempDirectory directory;
  EXPECT_EQ(listen(threads, service, {.address = "localhost"}).code(), Code::kInvalidArgument);
  EXPECT_EQ(listen(threads, service, {.unix_path = std::string(108, 'x')}).code(),
            Code::kInvalidArgument);
  EXPECT_EQ(listen(threads, service, {.unix_path = directory.file("none/data.sock")}).code(),
            Code::kIo);
  EXPECT_EQ(listen(threads, service, {.address = "192.0.2.1"}).code(), Code::kIo);

  const auto first = listen(threads, service, {.address = "127.0.0.1"});
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(listen(threads, service, {.address = "127.0.0.1", .port = (*first)->port()}).code(),
            Code::kBusy);
}

TEST(Listener_Open, SixthVersionOfIpWorks) {
  MemoryService service;
  DataThreads threads(1);
  auto listener = listen(threads, service, {.address = "::1"});
  if (!listener.ok()) GTEST_SKIP() << "no IPv6 here: " << listener.error().to_string();
  TcpConnectOptions options;
  options.host = "::1";
  options.port = (*listener)->port();
  options.session = service.session();
  options.data_secret = service.secret();
  EXPECT_TRUE(connect_tcp(options).ok());
}

TEST(Listener_Open, TakesOverADeadSocketAndNoOther) {
  MemoryService service;
  DataThreads threads(1);
  TempDirectory directory;
  const std::string path = directory.file("data.sock");
  {
    UniqueFd dead(::socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = {}};
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    ASSERT_EQ(::bind(dead.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  {
    const auto listener = listen(threads, service, {.unix_path = path});
    ASSERT_TRUE(listener.ok()) << listener.error().to_string();
    EXPECT_EQ(listen(threads, service, {.unix_path = path}).code(), Code::kBusy);
    struct stat status = {};
    ASSERT_EQ(::stat(path.c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0666u);
  }
  EXPECT_NE(::access(path.c_str(), F_OK), 0);  // removed at the end
  std::ofstream(path) << "precious";
  EXPECT_EQ(listen(threads, service, {.unix_path = path}).code(), Code::kBusy);
  EXPECT_EQ(::access(path.c_str(), F_OK), 0);
}

TEST(Listener_Limits, FurtherConnectionsAreClosedAtOnce) {
  StreamServer server(StreamKind::kTcp, {.connections_max = 3});
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 3; ++i) {
    clients.push_back(std::make_unique<RawClient>(server, StreamKind::kTcp));
  }
  TcpConnectOptions options;
  options.host = "127.0.0.1";
  options.port = server.port();
  options.session = server.service().session();
  options.data_secret = server.service().secret();
  EXPECT_EQ(connect_tcp(options).code(), Code::kUnavailable);
  clients[0]->say_hello();
  clients.pop_back();
  EXPECT_TRUE(eventually([&] { return connect_tcp(options).ok(); }));
}

// The descriptors run out, connections wait, nothing spins and nobody is lost.
TEST(Listener_Limits, OutOfDescriptorsAcceptingPausesAndGoesOn) {
  StreamServer server(StreamKind::kTcp);
  RawClient before(server, StreamKind::kTcp);
  std::vector<UniqueFd> waiting;
  for (int i = 0; i < 3; ++i) waiting.emplace_back(::socket(AF_INET, SOCK_STREAM, 0));
  rlimit old_limit = {};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &old_limit), 0);
  std::vector<UniqueFd> fillers;
  for (;;) {
    UniqueFd fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    if (!fd) break;
    fillers.push_back(std::move(fd));
    if (fillers.size() == 64) {  // no need to open thousands of them
      const rlimit low = {static_cast<rlim_t>(fillers.back().get() + 1), old_limit.rlim_max};
      ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
    }
  }
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(server.port());
  for (const UniqueFd& fd : waiting) {
    ASSERT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  timespec cpu_before = {}, cpu_after = {};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu_before);
  std::this_thread::sleep_for(milliseconds(500));
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu_after);
  const double cpu_ms =
      (cpu_after.tv_sec - cpu_before.tv_sec) * 1e3 + (cpu_after.tv_nsec - cpu_before.tv_nsec) / 1e6;
  EXPECT_LT(cpu_ms, 250);
  EXPECT_EQ(server.listener().connection_count(), 1u);
  before.say_hello();  // those who are in are served
  fillers.clear();
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &old_limit), 0);
  EXPECT_TRUE(eventually([&] { return server.listener().connection_count() == 4; }));
}

TEST(Listener_Stop, LetsWhatRunsFinish) {
  StreamServer server(StreamKind::kTcp);
  RawClient client(server, StreamKind::kTcp);
  client.say_hello();
  server.service().hold = true;
  FrameHeader flush = request(Op::kFlush, 8);
  flush.grant = server.service().add_region(64, kTestWrite);
  client.send_frame(flush);
  ASSERT_TRUE(eventually([&] { return server.service().begun_count() == 1; }));
  std::thread stopper([&] { server.listener().stop(10'000); });
  std::this_thread::sleep_for(milliseconds(50));
  EXPECT_EQ(server.listener().connection_count(), 1u);
  server.service().release_held();
  const auto answer = client.receive();
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->header.tag, 8u);
  EXPECT_TRUE(client.is_closed());
  stopper.join();
}

TEST(Listener_Stop, CutsWhatDoesNotFinishInTime) {
  StreamServer server(StreamKind::kUnix);
  RawClient client(server, StreamKind::kUnix);
  client.say_hello();
  server.service().hold = true;
  FrameHeader flush = request(Op::kFlush);
  flush.grant = server.service().add_region(64, kTestWrite);
  client.send_frame(flush);
  ASSERT_TRUE(eventually([&] { return server.service().begun_count() == 1; }));
  server.listener().stop(100);
  EXPECT_EQ(server.listener().connection_count(), 0u);
  EXPECT_TRUE(client.is_closed());
  EXPECT_EQ(server.service().handler_count(), 1u);  // its operation runs still
  server.service().release_held();
  EXPECT_TRUE(eventually([&] { return server.service().handler_count() == 0; }));
}

TEST(Listener_Stop, ClosesConnectionsThatNeverSaidHello) {
  StreamServer server(StreamKind::kTcp);
  RawClient silent(server, StreamKind::kTcp);
  server.listener().stop(10'000);
  EXPECT_TRUE(silent.is_closed());
}

TEST(Listener_Notice, ReachesClientsUnasked) {
  StreamServer server(StreamKind::kTcp);
  RawClient client(server, StreamKind::kTcp);
  client.say_hello();
  server.service().notify_all(wire::NoticeKind::kDraining);
  const auto notice = client.receive();
  ASSERT_TRUE(notice.has_value());
  EXPECT_EQ(notice->header.op, Op::kNotice);
  EXPECT_EQ(notice->header.tag, 0u);
  EXPECT_EQ(notice->header.flags, 0);
  EXPECT_EQ(notice->header.offset, static_cast<uint64_t>(wire::NoticeKind::kDraining));
}

}  // namespace
}  // namespace pmshelf::transport
