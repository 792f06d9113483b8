#include "client/src/target.h"

#include <gtest/gtest.h>

namespace pmshelf::client {
namespace {

Target parsed(std::string_view text) {
  auto target = parse_target(text);
  EXPECT_TRUE(target.ok()) << text << ": " << target.error().to_string();
  return target.ok() ? *target : Target{};
}

TEST(Target, EmptyMeansTheDaemonOfThisHost) { EXPECT_EQ(parsed("").kind, Target::Kind::kLocal); }

TEST(Target, HostsGetTheDefaultPortUnlessTheyNameOne) {
  const Target plain = parsed("db-3.example_net");
  EXPECT_EQ(plain.kind, Target::Kind::kHost);
  EXPECT_EQ(plain.host, "db-3.example_net");
  EXPECT_EQ(plain.port, 7200);
  EXPECT_EQ(parsed("h:1").port, 1);
  EXPECT_EQ(parsed("h:65535").port, 65535);
  EXPECT_EQ(parsed("10.0.0.7:7300").host, "10.0.0.7");
}

TEST(Target, V6AddressesStandInBrackets) {
  EXPECT_EQ(parsed("[::1]").host, "::1");
  EXPECT_EQ(parsed("[::1]").port, 7200);
  EXPECT_EQ(parsed("[fe80::1%eth0]:7").host, "fe80::1%eth0");
  EXPECT_EQ(parsed("[2001:db8::2]:7201").port, 7201);
  EXPECT_EQ(format_host_port("2001:db8::2", 7), "[2001:db8::2]:7");
  EXPECT_EQ(format_host_port("h", 7), "h:7");
}

TEST(Target, SocketsAreKnownByTheirFolder) {
  const Target data = parsed("unix:/run/pmshelf/data.sock");
  EXPECT_EQ(data.kind, Target::Kind::kSocket);
  EXPECT_EQ(data.path, "/run/pmshelf");
  EXPECT_EQ(parsed("unix:/run/pmshelf/control.sock").path, "/run/pmshelf");
}

TEST(Target, DirectoriesAreTakenAsTheyAre) {
  const Target target = parsed("dir:/mnt/pmem0/a b:c");
  EXPECT_EQ(target.kind, Target::Kind::kDirectory);
  EXPECT_EQ(target.path, "/mnt/pmem0/a b:c");
}

TEST(Target, NonsenseIsRefusedAndQuoted) {
  for (const std::string& text : {std::string("h:"),
                                  std::string("h:0"),
                                  std::string("h:65536"),
                                  std::string("h:-1"),
                                  std::string("h:7x"),
                                  std::string(":7200"),
                                  std::string("::1"),
                                  std::string("[::1"),
                                  std::string("[::1]7"),
                                  std::string("[]"),
                                  std::string("[h]:1"),
                                  std::string("a b"),
                                  std::string("a/b"),
                                  std::string("unix:"),
                                  std::string("unix:data.sock"),
                                  std::string("unix:/run/pmshelf"),
                                  std::string("unix:/run/other.sock"),
                                  std::string("dir:"),
                                  std::string(256, 'h'),
                                  "unix:/" + std::string(100, 'x') + "/data.sock"}) {
    const auto target = parse_target(text);
    ASSERT_EQ(target.code(), Code::kInvalidArgument) << text;
    EXPECT_NE(target.error().message().find(text.substr(0, 50)), std::string::npos) << text;
  }
  EXPECT_EQ(parse_target(std::string_view("h\0x", 3)).code(), Code::kInvalidArgument);
}

TEST(Target, LongestSocketPathThatTheKernelTakesIsTaken) {
  // "/control.sock" is the longer of the two names.
  const std::string folder = "/" + std::string(kSocketPathBytesMax - 14, 'x');
  EXPECT_TRUE(parse_target("unix:" + folder + "/data.sock").ok());
  EXPECT_FALSE(parse_target("unix:" + folder + "x/data.sock").ok());
}

TEST(HostPort, EndpointsMayLeaveTheHostOutButNotThePort) {
  auto own = parse_host_port(":7201", 0);
  ASSERT_TRUE(own.ok());
  EXPECT_EQ(own->host, "");
  EXPECT_EQ(own->port, 7201);
  EXPECT_EQ(parse_host_port("h", 0).code(), Code::kInvalidArgument);
  EXPECT_EQ(parse_host_port("[::1]", 0).code(), Code::kInvalidArgument);
}

TEST(Loopback, OnlySpelledAddressesCount) {
  for (const char* host : {"localhost", "127.0.0.1", "127.9.9.9", "::1"}) {
    EXPECT_TRUE(is_loopback_host(host)) << host;
  }
  for (const char* host :
       {"", "128.0.0.1", "::2", "::", "localhost.example", "10.127.0.0", "fe80::1"}) {
    EXPECT_FALSE(is_loopback_host(host)) << host;
  }
}

}  // namespace
}  // namespace pmshelf::client
