// Promises of the configuration file: no file is needed, nothing wrong in it passes silently, every
// message names the file, the line, the key and the cure.
#include "server/app/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "server/app/listen_address.h"
#include "server/control/token_file.h"

namespace pmshelf::app {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

std::string problem(const std::string& text) {
  const Result<Config> config = parse_config(text, "f.toml");
  return config.ok() ? "" : config.error().message();
}

class ConfigOnDisk : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ =
        std::filesystem::temp_directory_path() / ("pmshelf-config-" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_ / "pool");
    environment_.uid = 1000;
    environment_.user = "alice";
    environment_.home = folder_.string();
    environment_.xdg_runtime_dir = (folder_ / "run").string();
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string check(const std::string& text) {
    Result<Config> config = parse_config(text, "f.toml");
    if (!config.ok()) return "parse: " + config.error().message();
    fill_defaults(*config, environment_);
    const Status status = check_config(*config);
    return status.ok() ? "" : status.error().message();
  }
  std::string path(const char* name) const { return (folder_ / name).string(); }
  std::string pool(const std::string& where) const { return "[[pool]]\npath = '" + where + "'\n"; }

  std::filesystem::path folder_;
  Environment environment_;
};

TEST(ConfigFile, EveryKeyHasADefault) {
  const Result<Config> config = parse_config("", "f.toml");
  ASSERT_TRUE(config.ok());
  EXPECT_THAT(config->control_listen, ElementsAre("127.0.0.1:7200"));
  EXPECT_THAT(config->data_listen, ElementsAre("127.0.0.1:7201"));
  EXPECT_EQ(config->session_timeout_ms, 30'000U);
  EXPECT_THAT(config->metrics_listen, IsEmpty());
}

TEST(ConfigFile, EachKeyIsReadIntoItsField) {
  const Result<Config> config = parse_config(R"(
[daemon]
state_dir = "/s"
data_threads = 3
drain_timeout = "1m"
[data]
listen = ["127.0.0.1:1", "[::1]:1"]
buffer_memory = "64MiB"
[auth]
admins = ["cert:op*"]
[session]
lease = "5s"
[log]
level = "debug"
[[pool]]
name = "a"
path = "/mnt/a"
preallocate = false
[[pool]]
name = "b"
path = "/dev/dax0.0"
format = true
)",
                                             "f.toml");
  ASSERT_TRUE(config.ok()) << config.error().message();
  EXPECT_EQ(config->state_dir, "/s");
  EXPECT_EQ(config->data_threads, 3U);
  EXPECT_EQ(config->drain_timeout_ms, 60'000U);
  EXPECT_THAT(config->data_listen, ElementsAre("127.0.0.1:1", "[::1]:1"));
  EXPECT_EQ(config->buffer_memory_bytes, 64U << 20);
  EXPECT_THAT(config->admins, ElementsAre("cert:op*"));
  EXPECT_EQ(config->lease_ms, 5000U);
  EXPECT_EQ(config->log.level, "debug");
  ASSERT_EQ(config->pools.size(), 2U);
  EXPECT_FALSE(config->pools[0].preallocate);
  EXPECT_EQ(config->pools[1].path, "/dev/dax0.0");
  EXPECT_TRUE(config->pools[1].format);
}

TEST(ConfigFile, UnknownKeyIsRefusedWithLineAndSuggestion) {
  EXPECT_EQ(problem("[log]\nlevle = 'info'\n"),
            "f.toml:2: [log] levle: unknown key; did you mean 'level'?");
  EXPECT_EQ(problem("[log]\nlevel = 'info'\ncolourful_output = true\n"),
            "f.toml:3: [log] colourful_output: unknown key");
  EXPECT_EQ(problem("\n[sesion]\n"),
            "f.toml:2: [sesion]: unknown section; did you mean [session]?");
  EXPECT_EQ(problem("timeout = '3s'\n"), "f.toml:1: [timeout]: unknown section");
  EXPECT_EQ(problem("[[pool]]\npath = '/p'\n[[pool]]\npth = '/q'\n"),
            "f.toml:4: [[pool]] pth: unknown key; did you mean 'path'?");
}

TEST(ConfigFile, DuplicateKeyAndBrokenTomlNameTheLine) {
  EXPECT_THAT(problem("[log]\nlevel = 'info'\nlevel = 'warn'\n"),
              AllOf(HasSubstr("f.toml:3: "), HasSubstr("level")));
  EXPECT_THAT(problem("[log]\nlevel = \n"), HasSubstr("f.toml:2: "));
  EXPECT_THAT(problem("[log]\n[log]\n"), HasSubstr("f.toml:2: "));
  EXPECT_THAT(problem("\xff\xfe"), HasSubstr("f.toml:1: "));
}

TEST(ConfigFile, WrongTypesAndUnitsSayWhatIsExpected) {
  EXPECT_EQ(problem("[log]\nlevel = 3\n"), "f.toml:2: [log] level: expected a string in quotes");
  EXPECT_THAT(problem("[session]\ntimeout = 30\n"),
              HasSubstr("f.toml:2: [session] timeout: expected a string with a unit"));
  EXPECT_THAT(problem("[session]\ntimeout = '30'\n"), HasSubstr("'30' is not a duration"));
  EXPECT_THAT(problem("[data]\nbuffer_memory = 'much'\n"), HasSubstr("is not a size"));
  EXPECT_THAT(problem("[data]\nlisten = '127.0.0.1:1'\n"), HasSubstr("expected a list of strings"));
  EXPECT_THAT(problem("[data]\nlisten = ['127.0.0.1:1', 7]\n"), HasSubstr("expected a list"));
  EXPECT_THAT(problem("log = 'x'\n"), HasSubstr("write it as a section: [log]"));
  EXPECT_THAT(problem("[pool]\npath = '/p'\n"), HasSubstr("[[pool]]"));
}

TEST(ConfigFile, AbsurdNumbersNameTheLimits) {
  EXPECT_EQ(problem("[daemon]\ndata_threads = 100000\n"),
            "f.toml:2: [daemon] data_threads: 100000 is not between 0 and 256");
  EXPECT_THAT(problem("[daemon]\ndata_threads = -1\n"), HasSubstr("-1 is not between"));
  EXPECT_THAT(problem("[session]\ntimeout = '1ms'\n"), HasSubstr("1ms is not between 1s and 1d"));
  EXPECT_THAT(problem("[data]\nbuffer_memory = '900000TiB'\n"),
              HasSubstr("is not between 8 MiB and 1 TiB"));
  EXPECT_THAT(problem("[session]\nmax = 0\n"), HasSubstr("0 is not between 1 and 1000000"));
}

TEST(ConfigFile, AllProblemsAreListedInOneGo) {
  EXPECT_EQ(problem("[log]\nlevle = 'x'\n[session]\nmax = 0\n[nonsense]\n"),
            "f.toml:2: [log] levle: unknown key; did you mean 'level'?\n"
            "f.toml:4: [session] max: 0 is not between 1 and 1000000\n"
            "f.toml:5: [nonsense]: unknown section");
}

TEST(ConfigFile, PrintedConfigurationReadsBackUnchanged) {
  Result<Config> config = parse_config(
      "[log]\nfile = '/var/log/\"odd\\.log'\n[data]\nbuffer_memory = '12345678'\n"
      "[[pool]]\nname='a'\npath='/a'\n[[pool]]\nname='b'\npath='/b'\ndevice=true\n",
      "f.toml");
  ASSERT_TRUE(config.ok()) << config.error().message();
  fill_defaults(*config, Environment{.uid = 7, .user = "u", .home = "/h"});
  const std::string printed = print_config(*config);
  const Result<Config> again = parse_config(printed, "printed.toml");
  ASSERT_TRUE(again.ok()) << again.error().message() << printed;
  EXPECT_THAT(changed_keys(*config, *again), IsEmpty());
  EXPECT_THAT(printed, HasSubstr("# Further connections are closed at once\n"));
}

TEST(ConfigFile, ChangedKeysAreNamed) {
  const Config before = *parse_config("", "f");
  const Config after = *parse_config("[log]\nlevel='warn'\n[[pool]]\npath='/p'\n", "f");
  EXPECT_THAT(changed_keys(before, after), ElementsAre("log.level", "pool"));
}

TEST(ConfigFile, MissingFileAndFolderAreNamed) {
  EXPECT_EQ(load_config("/no/such.toml").code(), Code::kNotFound);
  EXPECT_THAT(load_config("/no/such.toml").error().message(), HasSubstr("'/no/such.toml'"));
  EXPECT_EQ(load_config("/tmp").code(), Code::kIo);
  EXPECT_EQ(load_config("/dev/zero").code(), Code::kInvalidArgument);
}

TEST(ConfigDefaults, FollowWhoRunsTheDaemon) {
  Config root, user, unit, bare;
  fill_defaults(root, Environment{.uid = 0, .user = "root", .home = "/root"});
  EXPECT_EQ(root.runtime_dir, "/run/pmshelf");
  EXPECT_EQ(root.state_dir, "/var/lib/pmshelf");
  EXPECT_EQ(root.pools[0].path, "/var/lib/pmshelf/pool");
  EXPECT_THAT(root.admins, ElementsAre("unix:root"));
  fill_defaults(user, Environment{.uid = 1000,
                                  .user = "alice",
                                  .home = "/home/alice",
                                  .xdg_runtime_dir = "/run/user/1000"});
  EXPECT_EQ(user.runtime_dir, "/run/user/1000/pmshelf");
  EXPECT_EQ(user.state_dir, "/home/alice/.local/state/pmshelf");
  EXPECT_THAT(user.admins, ElementsAre("unix:root", "unix:alice"));
  fill_defaults(bare, Environment{.uid = 1000, .user = "alice", .home = "/home/alice"});
  EXPECT_EQ(bare.runtime_dir, "/tmp/pmshelf-1000");
  fill_defaults(unit, Environment{.uid = 998,
                                  .user = "pmshelf",
                                  .unit_runtime_dir = "/run/pmshelf",
                                  .unit_state_dir = "/var/lib/pmshelf"});
  EXPECT_EQ(unit.runtime_dir, "/run/pmshelf");
  EXPECT_EQ(unit.token_file, "/var/lib/pmshelf/tokens");
}

TEST(ConfigDefaults, PrivateSocketsFitIntoASocketAddress) {
  Environment environment{.uid = 1000, .xdg_runtime_dir = "/run/user/1000"};
  const std::string name = "p-ffffffffffffffff-ffffffffffffffff";
  EXPECT_EQ(default_runtime_dir(environment, name), "/run/user/1000/pmshelf/" + name);
  environment.xdg_runtime_dir = "/" + std::string(80, 'x');
  EXPECT_EQ(default_runtime_dir(environment, name), "/tmp/pmshelf-1000/" + name);
  EXPECT_LE((default_runtime_dir(environment, name) + "/control.sock").size(), 107U);
}

TEST_F(ConfigOnDisk, DefaultsNeedNoFileAndNoFolder) { EXPECT_EQ(check(""), ""); }

TEST_F(ConfigOnDisk, DuplicatePortsNameBothSettings) {
  EXPECT_EQ(check("[data]\nlisten = ['127.0.0.1:7200']\n"),
            "f.toml:2: [data] listen: '127.0.0.1:7200' takes the same port as control.listen "
            "'127.0.0.1:7200'");
  EXPECT_THAT(check("[metrics]\nlisten = '0.0.0.0:7201'\n"), HasSubstr("f.toml:2: [metrics]"));
  EXPECT_THAT(check("[control]\nlisten = ['127.0.0.1:1', '127.0.0.1:1']\n"),
              HasSubstr("same port"));
  EXPECT_EQ(check("[control]\nlisten = ['127.0.0.1:0', '127.0.0.2:9']\n[data]\n"
                  "listen = ['127.0.0.1:0', '[::1]:9']\n"),
            "");
}

TEST_F(ConfigOnDisk, AddressesThatAreNoneSayHowToWriteThem) {
  for (const char* bad : {"127.0.0.1", "example.org:1", "127.0.0.1:x", "127.0.0.1:70000",
                          "::1:7200", "[127.0.0.1]:1", ":7200", ""}) {
    EXPECT_THAT(check("[data]\nlisten = ['" + std::string(bad) + "']\n"),
                AllOf(HasSubstr("f.toml:2: [data] listen: '" + std::string(bad) + "'"),
                      AnyOf(HasSubstr("write 127.0.0.1:7200"), HasSubstr("needs a port"))))
        << bad;
  }
}

TEST_F(ConfigOnDisk, OtherHostsNeedTls) {
  for (const char* open : {"0.0.0.0:1", "[::]:1", "192.168.1.1:1", "*:1"}) {
    EXPECT_THAT(check("[control]\nlisten = ['" + std::string(open) + "']\n"),
                AllOf(HasSubstr("[control] listen: '" + std::string(open)), HasSubstr("no TLS")));
    EXPECT_THAT(check("[data]\nlisten = ['" + std::string(open) + "']\n"),
                HasSubstr("f.toml:2: [data] listen: '" + std::string(open)));
  }
  EXPECT_EQ(check("[data]\nlisten = ['127.8.9.1:1', '[::1]:1', 'localhost:2']\n"), "");
}

TEST_F(ConfigOnDisk, UnixSocketsAreForTheControlPlane) {
  EXPECT_EQ(check("[control]\nlisten = ['unix:/run/x.sock']\n"), "");
  EXPECT_THAT(check("[control]\nlisten = ['unix:x.sock']\n"), HasSubstr("absolute path"));
  EXPECT_THAT(check("[data]\nlisten = ['unix:/run/x.sock']\n"), HasSubstr("must be a TCP address"));
}

TEST_F(ConfigOnDisk, PoolPathsThatCannotServeAreNamed) {
  ASSERT_EQ(::mkfifo(path("fifo").c_str(), 0600), 0);
  std::filesystem::create_symlink("nowhere", path("link"));
  std::ofstream(path("plain")).put('x');
  EXPECT_EQ(check(pool(path("fifo"))), "f.toml:2: [[pool]] path: '" + path("fifo") +
                                           "' is a FIFO: name a directory or a DAX device");
  EXPECT_THAT(check(pool(path("link"))), HasSubstr("is a link to something that does not exist"));
  EXPECT_THAT(check(pool(path("none"))), HasSubstr("does not exist: make the directory"));
  EXPECT_THAT(check(pool(path("plain"))), HasSubstr("set device = true"));
  EXPECT_EQ(check(pool(path("plain")) + "device = true\n"), "");
  EXPECT_THAT(check(pool("relative")), HasSubstr("must be an absolute path"));
  EXPECT_THAT(check("[[pool]]\nname = 'x'\n"), HasSubstr("f.toml:1: [[pool]] path"));
  EXPECT_EQ(check(pool(path("pool"))), "");
}

TEST_F(ConfigOnDisk, PoolsAreToldApartByNameAndPlace) {
  std::filesystem::create_symlink("pool", path("alias"));
  const std::string text = check("[[pool]]\nname = 'a'\npath = '" + path("pool") +
                                 "'\n[[pool]]\nname = 'a'\npath = '" + path("alias") + "'\n");
  EXPECT_THAT(text, HasSubstr("f.toml:5: [[pool]] name: 'a' is the name of an earlier pool"));
  EXPECT_THAT(text, HasSubstr("f.toml:6: [[pool]] path: '" + path("alias") + "' is the path of"));
  EXPECT_THAT(check("[[pool]]\nname = '../x'\npath = '" + path("pool") + "'\n"),
              HasSubstr("[[pool]] name: '../x'"));
}

TEST_F(ConfigOnDisk, FoldersMustBeAbsoluteAndShortEnoughForSockets) {
  EXPECT_THAT(check("[daemon]\nstate_dir = 'here'\n"), HasSubstr("[daemon] state_dir: 'here'"));
  EXPECT_THAT(check("[daemon]\nruntime_dir = '/" + std::string(94, 'r') + "'\n"),
              HasSubstr("at most 94 bytes"));
  EXPECT_EQ(check("[daemon]\nruntime_dir = '/" + std::string(93, 'r') + "'\n"), "");
}

TEST_F(ConfigOnDisk, TokenFileThatEverybodyReadsIsRefused) {
  ASSERT_TRUE(control::write_token_file(path("tokens"), {}).ok());
  ASSERT_EQ(::chmod(path("tokens").c_str(), 0644), 0);
  EXPECT_THAT(check("[auth]\ntoken_file = '" + path("tokens") + "'\n"),
              AllOf(HasSubstr("f.toml:2: [auth] token_file"), HasSubstr(path("tokens"))));
  ASSERT_EQ(::chmod(path("tokens").c_str(), 0600), 0);
  EXPECT_EQ(check("[auth]\ntoken_file = '" + path("tokens") + "'\n"), "");
}

}  // namespace
}  // namespace pmshelf::app
