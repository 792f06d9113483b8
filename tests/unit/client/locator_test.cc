#include "client/src/locator.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/unit/client/listener.h"
#include "tests/unit/client/temp_folder.h"

namespace pmshelf::client {
namespace {

Time soon() { return std::chrono::steady_clock::now() + std::chrono::seconds(5); }

TEST(Locator, RuntimeFoldersAreTriedInTheOrderOfTheProtocol) {
  Environment environment;
  environment.uid = 77;
  EXPECT_EQ(runtime_folders(environment),
            (std::vector<std::string>{"/tmp/pmshelf-77", "/run/pmshelf"}));
  environment.runtime_dir = "/run/user/77";
  EXPECT_EQ(runtime_folders(environment),
            (std::vector<std::string>{"/run/user/77/pmshelf", "/tmp/pmshelf-77", "/run/pmshelf"}));
}

TEST(Locator, SocketThatAcceptsIsFoundAndADeadOneIsNot) {
  TempFolder folder;
  Environment environment;
  environment.runtime_dir = folder.path();
  std::filesystem::create_directory(folder.path() + "/pmshelf");
  const std::string path = folder.path() + "/pmshelf/data.sock";
  environment.uid = 3'999'999'998;  // nobody's folder in /tmp
  if (!socket_accepts("/run/pmshelf/data.sock")) {
    const auto nothing = find_local_socket(environment);
    ASSERT_EQ(nothing.code(), Code::kUnavailable);
    EXPECT_NE(nothing.error().message().find(path), std::string::npos);
    EXPECT_NE(nothing.error().message().find("pmshelfd"), std::string::npos);
  }
  {
    Listener listener(path);
    auto found = find_local_socket(environment);
    ASSERT_TRUE(found.ok());
    EXPECT_EQ(*found, path);
  }
  EXPECT_FALSE(socket_accepts(path));  // the file is there, nobody listens
}

TEST(Locator, FolderInTmpMustBeOursAndClosedToOthers) {
  // Of a user that does not exist, so that nobody's real folder is touched.
  Environment environment;
  environment.uid = 3'999'999'999;
  const std::string folder = "/tmp/pmshelf-3999999999";
  std::filesystem::remove_all(folder);
  EXPECT_NE(distrust_folder(folder, environment), "");  // not there
  ASSERT_EQ(::mkdir(folder.c_str(), 0700), 0);
  EXPECT_NE(distrust_folder(folder, environment), "");  // ours, not that user's
  if (::geteuid() == 0) {
    ASSERT_EQ(::chown(folder.c_str(), environment.uid, 0), 0);
    EXPECT_EQ(distrust_folder(folder, environment), "");
    ::chmod(folder.c_str(), 0755);
    EXPECT_NE(distrust_folder(folder, environment), "");
  }
  std::filesystem::remove_all(folder);
  ASSERT_EQ(::symlink("/run", folder.c_str()), 0);
  EXPECT_NE(distrust_folder(folder, environment), "");
  ::unlink(folder.c_str());
  EXPECT_EQ(distrust_folder("/run/pmshelf", environment), "");
}

TEST(Locator, OneSocketTellsTheOther) {
  auto target = parse_target("unix:/run/x/data.sock");
  ASSERT_TRUE(target.ok());
  auto site = locate(*target, "", {}, soon());
  ASSERT_TRUE(site.ok());
  EXPECT_EQ(site->control_address, "unix:/run/x/control.sock");
  EXPECT_EQ(site->data_socket, "/run/x/data.sock");
  EXPECT_EQ(site->host, "127.0.0.1");
  EXPECT_FALSE(site->needs_tls);
}

TEST(Locator, OtherHostsNeedTls) {
  auto far = locate(*parse_target("far.example:7300"), "", {}, soon());
  ASSERT_TRUE(far.ok());
  EXPECT_EQ(far->control_address, "far.example:7300");
  EXPECT_TRUE(far->needs_tls);
  EXPECT_EQ(far->data_socket, "");
  auto near = locate(*parse_target("[::1]"), "", {}, soon());
  ASSERT_TRUE(near.ok());
  EXPECT_EQ(near->control_address, "[::1]:7200");
  EXPECT_FALSE(near->needs_tls);
}

}  // namespace
}  // namespace pmshelf::client
