// Promises about certificate and key files: what is wrong is found at start, with key and line.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <sys/stat.h>
#include <unistd.h>

#include <ctime>
#include <filesystem>
#include <memory>

#include "server/app/config.h"

namespace pmshelf::app {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr time_t kDay = 86'400;

class TlsConfig : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ =
        std::filesystem::temp_directory_path() / ("pmshelf-tls-" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }

  // Writes NAME.key (0600) and the self-signed NAME.pem, in force from `begin` to `end`.
  void make_pair(const std::string& name, time_t begin, time_t end) {
    std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(EVP_EC_gen("P-256"), &EVP_PKEY_free);
    std::unique_ptr<X509, decltype(&X509_free)> certificate(X509_new(), &X509_free);
    X509_set_version(certificate.get(), 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1);
    ASN1_TIME_set(X509_getm_notBefore(certificate.get()), begin);
    ASN1_TIME_set(X509_getm_notAfter(certificate.get()), end);
    X509_set_pubkey(certificate.get(), key.get());
    X509_NAME* subject = X509_get_subject_name(certificate.get());
    const auto* common_name = reinterpret_cast<const unsigned char*>("test");
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, common_name, -1, -1, 0);
    X509_set_issuer_name(certificate.get(), subject);
    ASSERT_GT(X509_sign(certificate.get(), key.get(), EVP_sha256()), 0);
    std::unique_ptr<FILE, int (*)(FILE*)> pem(std::fopen(path(name + ".pem").c_str(), "w"),
                                              &std::fclose);
    ASSERT_EQ(PEM_write_X509(pem.get(), certificate.get()), 1);
    std::unique_ptr<FILE, int (*)(FILE*)> secret(std::fopen(path(name + ".key").c_str(), "w"),
                                                 &std::fclose);
    ASSERT_EQ(PEM_write_PrivateKey(secret.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr),
              1);
    ASSERT_EQ(::chmod(path(name + ".key").c_str(), 0600), 0);
  }

  std::string check(const std::string& cert, const std::string& key, const std::string& ca = {}) {
    const std::string text = "[tls]\ncert = '" + cert + "'\nkey = '" + key + "'\nclient_ca = '" +
                             ca + "'\n[control]\nlisten = ['0.0.0.0:7200']\n";
    Config config = *parse_config(text, "f.toml");
    fill_defaults(config, Environment{.uid = 1, .user = "u", .home = folder_.string()});
    const Status status = check_config(config);
    return status.ok() ? "" : status.error().message();
  }
  std::filesystem::path folder_;
  const time_t now_ = std::time(nullptr);
};

TEST_F(TlsConfig, GoodPairAllowsOtherHosts) {
  make_pair("a", now_ - kDay, now_ + kDay);
  EXPECT_EQ(check(path("a.pem"), path("a.key")), "");
  EXPECT_EQ(check(path("a.pem"), path("a.key"), path("a.pem")), "");
}

TEST_F(TlsConfig, ExpiredFutureMissingAndGarbledCertificatesNameKeyAndLine) {
  make_pair("old", now_ - 2 * kDay, now_ - kDay);
  make_pair("new", now_ + kDay, now_ + 2 * kDay);
  EXPECT_THAT(check(path("old.pem"), path("old.key")),
              AllOf(HasSubstr("f.toml:2: [tls] cert: "), HasSubstr("expired")));
  EXPECT_THAT(check(path("new.pem"), path("new.key")),
              AllOf(HasSubstr("f.toml:2: [tls] cert: "), HasSubstr("not valid yet")));
  EXPECT_THAT(check(path("none.pem"), path("new.key")),
              AllOf(HasSubstr("f.toml:2: [tls] cert: "), HasSubstr(path("none.pem"))));
  EXPECT_THAT(check(path("new.key"), path("new.key")), HasSubstr("f.toml:2: [tls] cert: "));
}

TEST_F(TlsConfig, ForeignMissingAndWorldReadableKeysNameKeyAndLine) {
  make_pair("a", now_ - kDay, now_ + kDay);
  make_pair("b", now_ - kDay, now_ + kDay);
  EXPECT_THAT(check(path("a.pem"), path("b.key")), HasSubstr("f.toml:3: [tls] key: "));
  EXPECT_THAT(check(path("a.pem"), path("none.key")),
              AllOf(HasSubstr("f.toml:3: [tls] key: "), HasSubstr(path("none.key"))));
  ASSERT_EQ(::chmod(path("a.key").c_str(), 0644), 0);
  EXPECT_THAT(check(path("a.pem"), path("a.key")),
              AllOf(HasSubstr("f.toml:3: [tls] key: "), HasSubstr("everybody")));
}

TEST_F(TlsConfig, HalfAPairAndAMissingAuthorityAreNamed) {
  make_pair("a", now_ - kDay, now_ + kDay);
  EXPECT_THAT(check(path("a.pem"), ""), HasSubstr("f.toml:3: [tls] key: is missing"));
  EXPECT_THAT(check("", path("a.key")), HasSubstr("f.toml:2: [tls] cert: is missing"));
  EXPECT_THAT(check(path("a.pem"), path("a.key"), path("none")),
              HasSubstr("f.toml:4: [tls] client_ca: "));
  EXPECT_THAT(check("", "", path("a.pem")), HasSubstr("f.toml:4: [tls] client_ca: needs cert"));
}

}  // namespace
}  // namespace pmshelf::app
