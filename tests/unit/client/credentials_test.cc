#include "client/src/credentials.h"

#include <gtest/gtest.h>

#include "tests/unit/client/temp_folder.h"

namespace pmshelf::client {
namespace {

using Kind = Target::Kind;

class Credentials : public testing::Test {
 protected:
  Credentials() {
    environment_.home = folder_.path();
    std::filesystem::create_directories(folder_.path() + "/.config/pmshelf");
  }
  std::string usual_file(const std::string& text, mode_t mode = 0600) {
    return folder_.file(".config/pmshelf/token", text, mode);
  }
  std::string token(Kind kind) {
    auto found = find_token(options_, environment_, kind);
    EXPECT_TRUE(found.ok()) << found.error().to_string();
    return found.ok() ? *found : "";
  }

  TempFolder folder_;
  Environment environment_;
  ConnectOptions options_;
};

TEST_F(Credentials, OptionBeatsFileBeatsEnvironmentBeatsUsualFile) {
  usual_file("usual\n");
  EXPECT_EQ(token(Kind::kHost), "usual");
  environment_.token = "environment";
  EXPECT_EQ(token(Kind::kHost), "environment");
  options_.token_file = folder_.file("given", " \r\n", 0600);
  EXPECT_EQ(find_token(options_, environment_, Kind::kHost).code(), Code::kInvalidArgument);
  options_.token_file = folder_.file("given", "given \r\n", 0600);
  EXPECT_EQ(token(Kind::kHost), "given");
  options_.token = "option";
  EXPECT_EQ(token(Kind::kHost), "option");
}

TEST_F(Credentials, NothingFoundIsNoError) { EXPECT_EQ(token(Kind::kHost), ""); }

TEST_F(Credentials, UsualFileIsForOtherHostsOnly) {
  usual_file("usual");
  EXPECT_EQ(token(Kind::kLocal), "");
  EXPECT_EQ(token(Kind::kSocket), "");
  EXPECT_EQ(token(Kind::kDirectory), "");
}

TEST_F(Credentials, EnvironmentIsNotForPrivateDaemons) {
  environment_.token = "environment";
  EXPECT_EQ(token(Kind::kDirectory), "");
  EXPECT_EQ(token(Kind::kSocket), "environment");
  EXPECT_EQ(token(Kind::kLocal), "environment");
}

TEST_F(Credentials, FileOpenToOthersIsRefusedWithTheCure) {
  for (const mode_t mode : {0604, 0602, 0644, 0601}) {
    const std::string path = usual_file("secret", mode);
    const auto found = find_token(options_, environment_, Kind::kHost);
    ASSERT_EQ(found.code(), Code::kInvalidArgument);
    EXPECT_NE(found.error().message().find(path), std::string::npos);
    EXPECT_NE(found.error().message().find("chmod"), std::string::npos);
    EXPECT_EQ(found.error().message().find("secret"), std::string::npos);
  }
  usual_file("secret", 0640);
  EXPECT_EQ(token(Kind::kHost), "secret");
}

TEST_F(Credentials, FileThatIsNamedMustBeThere) {
  options_.token_file = folder_.path() + "/missing";
  const auto found = find_token(options_, environment_, Kind::kHost);
  ASSERT_EQ(found.code(), Code::kInvalidArgument);
  EXPECT_NE(found.error().message().find(options_.token_file), std::string::npos);
}

TEST_F(Credentials, FifoAndFolderAreRefusedAtOnce) {
  options_.token_file = folder_.path() + "/fifo";
  ASSERT_EQ(::mkfifo(options_.token_file.c_str(), 0600), 0);
  EXPECT_EQ(find_token(options_, environment_, Kind::kHost).code(), Code::kInvalidArgument);
  options_.token_file = folder_.path();
  EXPECT_EQ(find_token(options_, environment_, Kind::kHost).code(), Code::kInvalidArgument);
}

TEST_F(Credentials, TokensThatNoHeaderCarriesAreRefused) {
  for (const std::string& bad : {std::string("a b"), std::string("a\nb"), std::string("\x7f"),
                                 std::string("\xc3\xa4"), std::string(kTokenBytesMax + 1, 'x')}) {
    options_.token = bad;
    EXPECT_EQ(find_token(options_, environment_, Kind::kHost).code(), Code::kInvalidArgument);
    options_.token.clear();
    usual_file(bad);
    EXPECT_EQ(find_token(options_, environment_, Kind::kHost).code(), Code::kInvalidArgument);
  }
  options_.token = std::string(kTokenBytesMax, 'x');
  EXPECT_TRUE(find_token(options_, environment_, Kind::kHost).ok());
}

TEST_F(Credentials, CertificateAndKeyNeedEachOther) {
  options_.cert_file = folder_.file("cert.pem", "cert", 0644);
  EXPECT_EQ(read_tls_files(options_).code(), Code::kInvalidArgument);
  options_.key_file = folder_.file("key.pem", "key", 0600);
  options_.ca_file = folder_.file("ca.pem", "ca", 0644);
  const auto files = read_tls_files(options_);
  ASSERT_TRUE(files.ok());
  EXPECT_EQ(files->ca, "ca");
  EXPECT_EQ(files->cert, "cert");
  EXPECT_EQ(files->key, "key");
  options_.cert_file.clear();
  EXPECT_EQ(read_tls_files(options_).code(), Code::kInvalidArgument);
}

TEST_F(Credentials, KeyOpenToOthersIsRefused) {
  options_.cert_file = folder_.file("cert.pem", "cert", 0644);
  options_.key_file = folder_.file("key.pem", "key", 0644);
  const auto files = read_tls_files(options_);
  ASSERT_EQ(files.code(), Code::kInvalidArgument);
  EXPECT_NE(files.error().message().find("key_file"), std::string::npos);
}

}  // namespace
}  // namespace pmshelf::client
