#include "server/control/tokens.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <set>
#include <sstream>

#include "test_server.h"

namespace pmshelf::control {
namespace {

session::Principal person(const std::string& name, bool administrator = false) {
  session::Principal principal;
  principal.name = name;
  principal.administrator = administrator;
  return principal;
}
const session::Principal kRootUser = person("unix:root", true);

class Tokens : public testing::Test {
 protected:
  void SetUp() override { open({dir.file("tokens"), {"unix:boss", "cert:ops-*"}, {"unix:*"}}); }
  void open(const AuthenticatorOptions& options) {
    auto opened = Authenticator::open(options, clock);
    ASSERT_TRUE(opened.ok()) << opened.error().message();
    auth = *std::move(opened);
  }
  std::string make(const TokenSpec& spec, const session::Principal& creator = kRootUser) {
    auto token = auth->create_token(spec, creator, false);
    EXPECT_TRUE(token.ok()) << token.error().message();
    return token.ok() ? *token : "";
  }

  TempDir dir;
  TestClock clock;
  std::unique_ptr<Authenticator> auth;
};

TEST_F(Tokens, StoredTokenSpeaksForItsPrincipalWithItsBounds) {
  const std::string token = make({"ci", "train*", 3, 0, ""});
  EXPECT_TRUE(token.starts_with("pms_"));
  EXPECT_EQ(token.size(), 47u);
  const auto identity = auth->from_token(token);
  ASSERT_TRUE(identity.ok());
  EXPECT_EQ(identity->principal.name, "token:ci");
  EXPECT_EQ(identity->principal.shelf_glob, "train*");
  EXPECT_EQ(identity->principal.rights_max, 3);
  EXPECT_FALSE(identity->principal.administrator);
  EXPECT_TRUE(auth->still_valid(*identity));
}

TEST_F(Tokens, SurviveARestartAndOnlyTheirHashIsOnDisk) {
  const std::string token = make({"ci", "*", 7, 0, ""});
  std::ifstream file(dir.file("tokens"));
  std::ostringstream text;
  text << file.rdbuf();
  EXPECT_EQ(text.str().find(token.substr(4, 20)), std::string::npos);
  SetUp();
  EXPECT_EQ(auth->from_token(token)->principal.name, "token:ci");
}

TEST_F(Tokens, EveryBadTokenIsRefusedWithTheSameWords) {
  const std::string good = make({"ci", "*", 7, 1000, ""});
  const std::string revoked = make({"gone", "*", 7, 0, ""});
  ASSERT_TRUE(auth->revoke_token("gone", kRootUser).ok());
  const std::string used = auth->issue_peer_token(kAlice, 1, 1);
  ASSERT_TRUE(auth->from_token(used).ok());
  const std::string late = auth->issue_peer_token(kAlice, 1, 1);
  ASSERT_TRUE(auth->from_token(good).ok());
  clock.advance_ms(kPeerTokenLifetimeMs);
  std::string changed = good;
  changed.back() = changed.back() == 'A' ? 'B' : 'A';
  std::set<std::string> messages;
  for (const std::string& token :
       {std::string(), std::string("pms_"), good /* over by now */, revoked, used, late, changed,
        good.substr(0, 46), good + "A", " " + good, std::string(47, 'x'), std::string(1 << 20, 'A'),
        "pms_" + std::string(43, '\0')}) {
    const auto refused = auth->from_token(token);
    ASSERT_EQ(refused.code(), Code::kUnauthenticated) << token.substr(0, 60);
    messages.insert(refused.error().message());
  }
  EXPECT_EQ(messages.size(), 1u);
}

TEST_F(Tokens, ValidityEndsWithExpiryAndRevocation) {
  const auto brief = auth->from_token(make({"brief", "*", 7, 1000, ""}));
  const auto gone = auth->from_token(make({"gone", "*", 7, 0, ""}));
  clock.advance_ms(999);
  EXPECT_TRUE(auth->still_valid(*brief));
  clock.advance_ms(1);
  EXPECT_FALSE(auth->still_valid(*brief));
  EXPECT_TRUE(auth->still_valid(*gone));
  ASSERT_TRUE(auth->revoke_token("gone", kRootUser).ok());
  EXPECT_FALSE(auth->still_valid(*gone));
  make({"gone", "*", 7, 0, ""});  // another one of the name
  EXPECT_FALSE(auth->still_valid(*gone));
}

TEST_F(Tokens, PeerTokenSpeaksOnceForItsUser) {
  const std::string token = auth->issue_peer_token(0, 5, 99);
  const auto identity = auth->from_token(token);
  ASSERT_TRUE(identity.ok());
  EXPECT_EQ(identity->principal.name, "unix:root");
  EXPECT_EQ(identity->principal.uid, 0u);
  EXPECT_EQ(identity->principal.gid, 5u);
  EXPECT_TRUE(identity->principal.administrator);
  EXPECT_EQ(auth->from_token(token).code(), Code::kUnauthenticated);
  EXPECT_EQ(auth->from_token(auth->issue_peer_token(kAlice, 1, 1))->principal.name, kAliceName);
}

TEST_F(Tokens, OneUserCannotPushOutThePeerTokensOfAnother) {
  const std::string mine = auth->issue_peer_token(kBob, 1, 1);
  std::vector<std::string> flood;
  for (uint32_t count = 0; count <= kPeerTokensPerUidMax; ++count) {
    flood.push_back(auth->issue_peer_token(kAlice, 1, 1));
  }
  EXPECT_FALSE(auth->from_token(flood.front()).ok());  // the oldest gave way
  EXPECT_TRUE(auth->from_token(flood.back()).ok());
  EXPECT_TRUE(auth->from_token(mine).ok());
}

TEST_F(Tokens, UnusedPeerTokensAreBounded) {
  const std::string first = auth->issue_peer_token(1, 1, 1);
  for (uint32_t count = 0; count < kPeerTokensMax; ++count) {
    auth->issue_peer_token(100'000 + count / kPeerTokensPerUidMax, 1, 1);
  }
  EXPECT_FALSE(auth->from_token(first).ok());
}

TEST_F(Tokens, CertificateNamesBecomePrincipals) {
  EXPECT_EQ(auth->from_certificate("host7.lab")->principal.name, "cert:host7.lab");
  EXPECT_FALSE(auth->from_certificate("host7.lab")->principal.administrator);
  EXPECT_TRUE(auth->from_certificate("ops-1")->principal.administrator);
  for (const std::string& name :
       {std::string(), std::string("a b"), std::string("*"), std::string("a:b"),
        std::string("a\0b", 3), std::string(129, 'x')}) {
    EXPECT_EQ(auth->from_certificate(name).code(), Code::kUnauthenticated) << name;
  }
}

TEST_F(Tokens, NarrowedTokenOfAnAdministratorIsNotOne) {
  const session::Principal boss = person("unix:boss", true);
  EXPECT_TRUE(
      auth->from_token(make({"all", "*", 7, 0, "unix:boss"}, boss))->principal.administrator);
  EXPECT_FALSE(
      auth->from_token(make({"ro", "*", 1, 0, "unix:boss"}, boss))->principal.administrator);
  EXPECT_FALSE(
      auth->from_token(make({"one", "train", 7, 0, "unix:boss"}, boss))->principal.administrator);
}

TEST_F(Tokens, AnybodyMakesTokensForThemselvesOnly) {
  const session::Principal alice = person("unix:alice");
  EXPECT_TRUE(auth->create_token({"a", "*", 7, 0, "unix:alice"}, alice, false).ok());
  EXPECT_EQ(auth->create_token({"b", "*", 7, 0, "unix:bob"}, alice, false).code(),
            Code::kPermissionDenied);
  EXPECT_EQ(auth->create_token({"b", "*", 7, 0, ""}, alice, false).code(), Code::kPermissionDenied);
  // A stolen or narrow token must not breed wider or longer ones.
  EXPECT_EQ(auth->create_token({"b", "*", 7, 0, "unix:alice"}, alice, true).code(),
            Code::kPermissionDenied);
  EXPECT_EQ(auth->create_token({"b", "*", 7, 0, "unix:bob"}, kRootUser, false).code(),
            Code::kPermissionDenied);
}

TEST_F(Tokens, BadSpecsAreRefusedNamingTheField) {
  const auto refusal = [&](const TokenSpec& spec) {
    auto made = auth->create_token(spec, kRootUser, false);
    EXPECT_EQ(made.code(), Code::kInvalidArgument);
    return made.ok() ? std::string() : made.error().message();
  };
  EXPECT_TRUE(refusal({"", "*", 7, 0, ""}).starts_with("name"));
  EXPECT_TRUE(refusal({"a b", "*", 7, 0, ""}).starts_with("name"));
  EXPECT_TRUE(refusal({"a\n", "*", 7, 0, ""}).starts_with("name"));
  EXPECT_TRUE(refusal({std::string(65, 'a'), "*", 7, 0, ""}).starts_with("name"));
  EXPECT_TRUE(refusal({"a", "", 7, 0, ""}).starts_with("shelves"));
  EXPECT_TRUE(refusal({"a", "x y", 7, 0, ""}).starts_with("shelves"));
  EXPECT_TRUE(refusal({"a", "*", 0, 0, ""}).starts_with("rights"));
  EXPECT_TRUE(refusal({"a", "*", 8, 0, ""}).starts_with("rights"));
  EXPECT_TRUE(refusal({"a", "*", 7, UINT64_MAX, ""}).starts_with("lifetime_ms"));
  EXPECT_FALSE(std::ifstream(dir.file("tokens")).good());  // nothing was written
}

TEST_F(Tokens, NamesAreTakenUntilTheyAreRevokedOrOver) {
  make({"ci", "*", 7, 1000, ""});
  EXPECT_EQ(auth->create_token({"ci", "*", 7, 0, ""}, kRootUser, false).code(),
            Code::kAlreadyExists);
  clock.advance_ms(1000);
  make({"ci", "*", 7, 0, ""});
  ASSERT_TRUE(auth->revoke_token("ci", kRootUser).ok());
  make({"ci", "*", 7, 0, ""});
}

TEST_F(Tokens, OthersTokensAreNeitherSeenNorRevoked) {
  make({"a", "*", 7, 0, "unix:alice"}, person("unix:alice"));
  make({"b", "*", 7, 0, "unix:bob"}, person("unix:bob"));
  EXPECT_EQ(auth->list_tokens(person("unix:alice")).size(), 1u);
  EXPECT_EQ(auth->list_tokens(kRootUser).size(), 2u);
  EXPECT_EQ(auth->revoke_token("b", person("unix:alice")).code(), Code::kNotFound);
  EXPECT_EQ(auth->revoke_token("c", person("unix:alice")).code(), Code::kNotFound);
  EXPECT_TRUE(auth->revoke_token("b", person("unix:bob")).ok());
}

TEST_F(Tokens, OnePrincipalMakesABoundedNumber) {
  const session::Principal alice = person("unix:alice");
  for (uint32_t count = 0; count < kTokensPerPrincipalMax; ++count) {
    make({"t" + std::to_string(count), "*", 7, 0, "unix:alice"}, alice);
  }
  EXPECT_EQ(auth->create_token({"more", "*", 7, 0, "unix:alice"}, alice, false).code(),
            Code::kResourceExhausted);
  EXPECT_TRUE(auth->create_token({"more", "*", 7, 0, ""}, kRootUser, false).ok());
}

TEST_F(Tokens, FailedWriteChangesNothing) {
  const std::string kept = make({"kept", "*", 7, 0, ""});
  ASSERT_EQ(::mkdir(dir.file("tokens.new").c_str(), 0700), 0);
  EXPECT_EQ(auth->create_token({"lost", "*", 7, 0, ""}, kRootUser, false).code(), Code::kIo);
  EXPECT_EQ(auth->revoke_token("kept", kRootUser).code(), Code::kIo);
  EXPECT_EQ(auth->list_tokens(kRootUser).size(), 1u);
  EXPECT_TRUE(auth->from_token(kept).ok());
}

TEST_F(Tokens, WithoutStateDirectoryNoneAreMade) {
  open({});
  EXPECT_EQ(auth->create_token({"a", "*", 7, 0, ""}, kRootUser, false).code(), Code::kUnsupported);
  EXPECT_TRUE(auth->from_token(auth->issue_peer_token(kAlice, 1, 1)).ok());
}

TEST_F(Tokens, UnreadableFileIsRefusedAtStart) {
  std::ofstream(dir.file("tokens")) << "rubbish";
  ASSERT_EQ(::chmod(dir.file("tokens").c_str(), 0600), 0);
  EXPECT_EQ(Authenticator::open({dir.file("tokens"), {}, {}}, clock).code(), Code::kCorrupt);
}

TEST_F(Tokens, CreatorsAdministratorsAndFullTokensMayCreateShelves) {
  EXPECT_TRUE(auth->may_create_shelf(person("unix:alice"), "train"));
  EXPECT_FALSE(auth->may_create_shelf(person("cert:host7"), "train"));
  EXPECT_TRUE(auth->may_create_shelf(person("cert:ops-1", true), "train"));
  session::Principal token = person("token:ci");
  EXPECT_TRUE(auth->may_create_shelf(token, "train"));
  token.shelf_glob = "test*";
  EXPECT_FALSE(auth->may_create_shelf(token, "train"));
  EXPECT_TRUE(auth->may_create_shelf(token, "test1"));
  token.rights_max = 3;
  EXPECT_FALSE(auth->may_create_shelf(token, "test1"));
}

}  // namespace
}  // namespace pmshelf::control
