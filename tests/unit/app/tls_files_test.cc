// Promises about certificate and key files: what is wrong is found at start, with the file's name.
#include "server/app/tls_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>

#include "server/app/config.h"

namespace pmshelf::app {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr int64_t kNow = 1'900'000'000;
constexpr long kDay = 86'400;

class TlsFiles : public ::testing::Test {
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
  std::filesystem::path folder_;
};

TEST_F(TlsFiles, GoodPairPasses) {
  make_pair("a", kNow - kDay, kNow + kDay);
  EXPECT_TRUE(check_certificate(path("a.pem"), kNow).ok());
  EXPECT_TRUE(check_private_key(path("a.key"), path("a.pem")).ok());
  EXPECT_TRUE(check_authority(path("a.pem")).ok());
}

TEST_F(TlsFiles, ExpiredAndFutureCertificatesSayTheDate) {
  make_pair("a", kNow - kDay, kNow + kDay);
  const Status expired = check_certificate(path("a.pem"), kNow + 2 * kDay);
  EXPECT_EQ(expired.code(), Code::kInvalidArgument);
  EXPECT_THAT(expired.error().message(), AllOf(HasSubstr(path("a.pem")), HasSubstr("expired on"),
                                               HasSubstr("2030"), HasSubstr("renew")));
  EXPECT_THAT(check_certificate(path("a.pem"), kNow - 2 * kDay).error().message(),
              HasSubstr("not in force before"));
}

TEST_F(TlsFiles, MissingForeignAndGarbledFilesAreNamed) {
  make_pair("a", kNow - kDay, kNow + kDay);
  make_pair("b", kNow - kDay, kNow + kDay);
  std::ofstream(path("garbage")) << "-----BEGIN CERTIFICATE-----\nnonsense\n";
  EXPECT_EQ(check_certificate(path("none"), kNow).code(), Code::kNotFound);
  EXPECT_EQ(check_private_key(path("none"), path("a.pem")).code(), Code::kNotFound);
  EXPECT_THAT(check_certificate(path("garbage"), kNow).error().message(),
              HasSubstr("holds no PEM certificate"));
  EXPECT_EQ(check_certificate(folder_.string(), kNow).code(), Code::kInvalidArgument);
  EXPECT_THAT(check_private_key(path("b.key"), path("a.pem")).error().message(),
              HasSubstr("is not the key of the certificate"));
  ASSERT_EQ(::chmod(path("a.pem").c_str(), 0600), 0);
  EXPECT_THAT(check_private_key(path("a.pem"), path("a.pem")).error().message(),
              HasSubstr("no PEM private key"));
}

TEST_F(TlsFiles, WorldReadableKeyIsRefusedWithTheCure) {
  make_pair("a", kNow - kDay, kNow + kDay);
  ASSERT_EQ(::chmod(path("a.key").c_str(), 0644), 0);
  const Status status = check_private_key(path("a.key"), path("a.pem"));
  EXPECT_EQ(status.code(), Code::kPermissionDenied);
  EXPECT_THAT(status.error().message(), HasSubstr("chmod o-rwx '" + path("a.key") + "'"));
}

TEST_F(TlsFiles, CheckConfigNamesKeyAndLine) {
  make_pair("old", 1'000'000'000, 1'000'000'000 + kDay);
  std::string text = "[tls]\ncert = '" + path("old.pem") + "'\nkey = '" + path("old.key") + "'\n";
  Config config = *parse_config(text, "f.toml");
  fill_defaults(config, Environment{.uid = 1, .user = "u", .home = folder_.string()});
  EXPECT_THAT(check_config(config).error().message(),
              AllOf(HasSubstr("f.toml:2: [tls] cert: '"), HasSubstr("expired on")));
  make_pair("new", ::time(nullptr) - kDay, ::time(nullptr) + kDay);
  config.tls_cert = path("new.pem");
  EXPECT_THAT(check_config(config).error().message(), HasSubstr("f.toml:3: [tls] key: '"));
  config.tls_key = path("new.key");
  config.control_listen = {"0.0.0.0:7200"};
  EXPECT_TRUE(check_config(config).ok());
  config.tls_key.clear();
  EXPECT_THAT(check_config(config).error().message(), HasSubstr("[tls] key: is missing"));
  config.tls_client_ca = path("none");
  EXPECT_THAT(check_config(config).error().message(), HasSubstr("[tls] client_ca: '"));
}

}  // namespace
}  // namespace pmshelf::app
