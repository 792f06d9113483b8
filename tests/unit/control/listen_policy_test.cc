#include "server/control/listen_policy.h"

#include <gtest/gtest.h>

namespace pmshelf::control {
namespace {

ListenSpec at(const std::string& address, bool tls = false) {
  return {"control.listen", address, tls};
}

TEST(ListenPolicy, LoopbackAndUnixSocketsNeedNoTls) {
  for (const char* address : {"127.0.0.1:0", "127.8.9.10:7200", "localhost:7200", "[::1]:7200",
                              "unix:/run/pmshelf/control.sock"}) {
    const auto parsed = parse_listen(at(address));
    ASSERT_TRUE(parsed.ok()) << parsed.error().message();
    EXPECT_TRUE(parsed->loopback) << address;
  }
}

TEST(ListenPolicy, OtherAddressesAreRefusedWithoutTlsNamingTheSetting) {
  for (const char* address : {"0.0.0.0:7200", "*:7200", "192.0.2.1:7200", "[::]:7200",
                              "[2001:db8::1]:7200", "[::ffff:127.0.0.1]:7200"}) {
    const auto refused = parse_listen(at(address));
    ASSERT_EQ(refused.code(), Code::kInvalidArgument) << address;
    EXPECT_TRUE(refused.error().message().starts_with("control.listen: "));
    EXPECT_NE(refused.error().message().find("TLS"), std::string::npos);
    EXPECT_TRUE(parse_listen(at(address, true)).ok()) << address;
  }
}

TEST(ListenPolicy, BadAddressesAreRefusedNamingTheSetting) {
  for (const std::string& address :
       {std::string(), std::string("7200"), std::string(":7200"), std::string("localhost"),
        std::string("127.0.0.1:"), std::string("127.0.0.1:65536"), std::string("127.0.0.1:-1"),
        std::string("127.0.0.1:7200x"), std::string("::1:7200"), std::string("[::1:7200"),
        std::string("[]:7200"), std::string("example.org:7200"), std::string("[127.0.0.1]:7200"),
        std::string("127.0.0.1\0:7200", 15), std::string("unix:"), std::string("unix:relative"),
        "unix:/" + std::string(107, 'x'), std::string("unix:/a\0b", 9)}) {
    const auto refused = parse_listen(at(address, true));
    EXPECT_EQ(refused.code(), Code::kInvalidArgument) << address;
    if (!refused.ok()) EXPECT_TRUE(refused.error().message().starts_with("control.listen: '"));
  }
  EXPECT_TRUE(parse_listen(at("unix:/" + std::string(106, 'x'))).ok());
}

}  // namespace
}  // namespace pmshelf::control
